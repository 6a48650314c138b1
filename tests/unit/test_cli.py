"""The exit code of the program, whatever a command does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from gameday import cli
from gameday.errors import GamedayError, InputError, Problem


def interrupted() -> None:
    raise KeyboardInterrupt


def wrong_input() -> None:
    raise InputError([Problem("no such service", "name another", file=Path("a.yml"), line=3), Problem("two", "mend")])


def failed() -> None:
    raise GamedayError("Prometheus did not answer")


def broken() -> None:
    raise ZeroDivisionError


def exits(code: int) -> Callable[[], None]:
    def command() -> None:
        raise typer.Exit(code)

    return command


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (exits(0), 0, ""),
        (exits(4), 4, ""),
        (interrupted, 130, ""),
        (wrong_input, 2, "a.yml:3: no such service\n  mend: name another\n\ntwo"),
        (failed, 3, "gameday: Prometheus did not answer"),
        (broken, 3, "ZeroDivisionError"),
    ],
)
def test_the_exit_code_tells_what_happened(
    command: Callable[[], None],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = typer.Typer()
    app.command("it")(command)
    app.callback()(lambda: None)
    monkeypatch.setattr(cli, "COMMANDS", ())
    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr("sys.argv", ["gameday", "it"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert said in capsys.readouterr().err
