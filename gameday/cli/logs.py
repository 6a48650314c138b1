"""`gameday logs`: what the services wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import typer

from gameday.errors import InputError, Problem
from gameday.logs import whole_lines

EXAMPLE = "Example: $ gameday logs api-gateway --tail 20"
_POLL_SECONDS = 0.2


def register(app: typer.Typer) -> None:
    app.command("logs", epilog=EXAMPLE)(run)


def run(
    services: list[str] = typer.Argument(None, help="Only these. Default: all."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on with what is written from now on."),
    tail: int = typer.Option(None, "--tail", "-n", min=0, help="Only the last N lines of each. Default: all."),
) -> None:
    """Print the logs of the running system, each line behind its service's name."""
    from gameday.control import Control

    with Control.connect() as control:
        # Who writes a log, with the service: where a service has several replicas, they do.
        writers = {each["name"]: each["service"] for each in control.call("status")["services"]}
        directory = control.state.logs
    known = sorted({*writers.values(), *writers})
    unknown = [name for name in services or () if name not in known]
    if unknown:
        raise InputError([Problem(f"no service {name} runs", f"one of: {', '.join(known)}") for name in unknown])
    wanted = set(services or known)
    names = [name for name, service in writers.items() if wanted & {name, service}]
    with ExitStack() as stack:
        files = {name: stack.enter_context(_open(directory / f"{name}.log")) for name in names}
        width = max(map(len, names))
        for name, file in files.items():
            _print(name, _tail(whole_lines(file), tail), width)
        while follow:
            _follow(files, width)


def _open(path: Path) -> BinaryIO:
    path.touch(exist_ok=True)
    return path.open("rb")


def _tail(lines: Iterator[str], count: int | None) -> Sequence[str]:
    found = list(lines)
    return found if count is None else found[len(found) - min(count, len(found)) :]


def _print(name: str, lines: Sequence[str], width: int) -> None:
    for line in lines:
        print(f"{name:<{width}} | {line}", flush=True)


def _follow(files: Mapping[str, BinaryIO], width: int) -> None:
    for name, file in files.items():
        _print(name, list(whole_lines(file)), width)
    time.sleep(_POLL_SECONDS)
