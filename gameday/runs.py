"""The runs of a system on disk: one directory each, and one run at a time."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gameday.errors import InputError, Problem
from gameday.judge import JOURNAL
from gameday.state import State

VERDICT = "verdict.json"


@dataclass(frozen=True)
class Run:
    """`verdict` is None where the run never came to one; `bytes` is what the directory holds."""

    id: str
    directory: Path
    verdict: str | None
    started: float
    bytes: int


def identity(name: str) -> str:
    """A name that no other run has: `20261125-031500-recommendation-down-3f9a`. Leases go by it."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(2)}"


def prepare(directory: Path) -> None:
    """Makes the directory of a run. Raises InputError where it holds one already."""
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / JOURNAL).exists():
        raise InputError(Problem(f"{directory} holds a run already", "name another directory with --out"))


def found(state: State) -> list[Run]:
    """The newest first."""
    directories = (each for each in state.runs.glob("*") if (each / VERDICT).exists() or (each / JOURNAL).exists())
    return sorted(map(_run, directories), key=lambda run: run.id, reverse=True)


def prune(state: State, keep: int) -> list[Run]:
    """Removes all but the `keep` newest runs and returns what it removed."""
    gone = found(state)[keep:]
    for run in gone:
        shutil.rmtree(run.directory)
    return gone


@contextmanager
def exclusive(state: State) -> Iterator[None]:
    """One gate, experiment or load at a time. Raises InputError where another one runs.

    The kernel gives the lock back when its holder dies, however it dies.
    """
    state.create()
    with (state.directory / "run.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            message = f"another run is under way on this system (pid {holder})"
            raise InputError(Problem(message, f"wait for it, or end it with kill -INT {holder}")) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _run(directory: Path) -> Run:
    files = [path for path in directory.rglob("*") if path.is_file()]
    try:
        verdict = json.loads((directory / VERDICT).read_text())["verdict"]
    except (OSError, ValueError, KeyError):
        verdict = None
    started = min((path.stat().st_mtime for path in files), default=time.time())
    return Run(directory.name, directory, verdict, started, sum(path.stat().st_size for path in files))
