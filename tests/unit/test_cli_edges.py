"""`gameday edges` at the command line; a running system is a supervisor's socket and no more."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from gameday.cli import edges
from gameday.errors import InputError

SHOP = """
services:
  web: {image: acme/web, environment: {DB_HOST: db, DB_PORT: 5432}, x-gameday: {on-loss: {db: clean-error}}}
  db: {image: postgres}
  mail: {image: acme/mail, profiles: [mail], depends_on: [db]}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "compose.yaml").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAMEDAY_STATE", raising=False)
    return tmp_path


def invoke(*arguments: str) -> Result:
    app = typer.Typer()
    edges.register(app)
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result


def gameday(*arguments: str) -> str:
    return invoke(*arguments).stdout


@pytest.fixture
def supervisor(shop: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Starts a socket that answers each op with what the test says."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    threads: list[threading.Thread] = []

    def start(answers: dict[str, Any]) -> None:
        (shop / ".gameday").mkdir()
        listener.bind(str(shop / ".gameday" / "supervisor.sock"))
        listener.listen()
        threads.append(threading.Thread(target=answer_one, args=(listener, answers)))
        threads[0].start()

    yield start
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    listener.close()


def answer_one(listener: socket.socket, answers: dict[str, Any]) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rw") as stream:
        for line in stream:
            answer = answers[json.loads(line)["op"]]
            stream.write(json.dumps(answer) + "\n")
            stream.flush()


def test_as_json(shop: Path) -> None:
    assert json.loads(gameday("--json")) == {
        "services": ["web", "db"],
        "edges": [
            {
                "from": "web",
                "to": "db",
                "port": 5432,
                "kind": "store",
                "evidence": ["declared", "stated"],
                "env": ["DB_HOST", "DB_PORT"],
                "on_loss": "clean-error",
            }
        ],
    }


def test_as_a_table(shop: Path) -> None:
    heading, row = gameday("-f", "compose.yaml").splitlines()
    assert heading.split() == ["edge", "port", "kind", "evidence", "declared", "by", "on", "loss"]
    assert row.split() == ["web->db", "5432", "store", "declared,", "stated", "DB_HOST,", "DB_PORT", "clean-error"]


def test_a_profile(shop: Path) -> None:
    assert "mail->db" in gameday("--profile", "mail")


def test_several_files(shop: Path) -> None:
    (shop / "more.yaml").write_text("services: {db: {depends_on: [cache]}, cache: {image: redis}}")
    assert "db->cache" in gameday("-f", "compose.yaml", "-f", "more.yaml")


def test_names_that_look_like_markup(shop: Path) -> None:
    (shop / "compose.yaml").write_text(
        "services: {a: {image: x, environment: {'[/red]URL': 'http://b'}}, b: {image: x}}"
    )
    assert "[/red]URL" in gameday()


def test_a_bad_file(shop: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        gameday("-f", "absent.yaml")


def test_no_file(shop: Path) -> None:
    (shop / "compose.yaml").unlink()
    with pytest.raises(InputError, match="no compose file"):
        gameday()


def test_the_running_system_adds_what_was_observed(shop: Path, supervisor: Callable[[dict[str, Any]], None]) -> None:
    seen = [{"from": "web", "to": "db", "port": 5432}, {"from": "db", "to": "web", "port": 80}]
    status = {"files": [str(shop / "compose.yaml")]}
    supervisor({"status": {"ok": True, "result": status}, "connections": {"ok": True, "result": seen}})
    evidence = {each["to"]: each["evidence"] for each in json.loads(gameday("--json"))["edges"]}
    assert evidence == {"db": ["declared", "stated", "observed"], "web": ["observed"]}


def test_another_running_system_adds_nothing(shop: Path, supervisor: Callable[[dict[str, Any]], None]) -> None:
    supervisor({"status": {"ok": True, "result": {"files": ["/elsewhere/compose.yaml"]}}})
    assert "observed" not in gameday("--json")


def test_a_supervisor_that_fails_is_said_to(shop: Path, supervisor: Callable[[dict[str, Any]], None]) -> None:
    supervisor({"status": {"ok": False, "error": "no memory", "kind": "error"}})
    result = invoke()
    assert "web->db" in result.stdout
    assert "observed edges are missing: no memory" in result.stderr


def test_nothing_of_the_file_is_executed(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(
        "services: {a: {image: x, command: 'touch executed', entrypoint: $$(touch executed),"
        " healthcheck: {test: touch executed}, environment: {A: '`touch executed`'}, x-gameday: {command: [touch, x]}}}"
    )
    program = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith(('subprocess.', 'os.exec', 'os.fork', 'os.posix_spawn', 'os.system')):\n"
        "        raise SystemExit(f'executes: {event} {arguments}')\n"
        "import typer\n"
        "from gameday.cli import edges\n"
        "app = typer.Typer()\n"
        "edges.register(app)\n"
        "sys.addaudithook(refuse)\n"
        "app()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "-f", file, "--json"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["services"] == ["a"]
