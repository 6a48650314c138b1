"""Where a running system keeps what outlives a command: the state directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "GAMEDAY_STATE"
_DEFAULT = ".gameday"


@dataclass(frozen=True)
class State:
    """Every file of a state directory, by name. Nothing is created by asking."""

    directory: Path

    @classmethod
    def find(cls, project: Path | None = None) -> State:
        """`$GAMEDAY_STATE`, else `.gameday` in `project`, else the nearest one here or above that is ours."""
        if named := os.environ.get(VARIABLE):
            return cls(Path(named).absolute())
        if project is not None:
            return cls(project.absolute() / _DEFAULT)
        here = Path.cwd()
        found = (directory / _DEFAULT for directory in (here, *here.parents))
        return cls(next(filter(_ours, found), here / _DEFAULT))

    @property
    def supervisor(self) -> Path:
        return self.directory / "supervisor.json"

    @property
    def supervisor_log(self) -> Path:
        return self.directory / "supervisor.log"

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def processes(self) -> Path:
        return self.directory / "processes.jsonl"

    @property
    def leases(self) -> Path:
        return self.directory / "leases.jsonl"

    @property
    def alerts(self) -> Path:
        return self.directory / "alerts.jsonl"

    @property
    def contracts(self) -> Path:
        return self.directory / "contracts"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def volumes(self) -> Path:
        return self.directory / "volumes"

    @property
    def config(self) -> Path:
        return self.directory / "config"

    @property
    def runs(self) -> Path:
        return self.directory / "runs"

    def scaled_alerts(self, factor: float) -> Path:
        """Where the rules for one time scale are generated."""
        return self.directory / f"alerts-x{factor:g}"

    def create(self) -> None:
        """Makes the directory, kept out of version control, for its owner alone: logs and tokens lie in it."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        ignore = self.directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def describe(self) -> dict[str, Any] | None:
        """What the supervisor wrote of itself; None where none ever did."""
        try:
            found = json.loads(self.supervisor.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return found if isinstance(found, dict) else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[int | None]:
        """The descriptor that holds the directory; None where a system is, or is being, run from it.

        Guardian and supervisor inherit it: the lock is free when the last of them is gone, however they ended.
        """
        self.create()
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def socket_path(self) -> Iterator[str]:
        """The control socket under a name that fits in the kernel's 107 bytes, however deep the directory."""
        directory = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{directory}/supervisor.sock"
        finally:
            os.close(directory)


def _ours(directory: Path) -> bool:
    """Not one that somebody else left in a shared directory above."""
    return directory.is_dir() and directory.stat().st_uid == os.geteuid()
