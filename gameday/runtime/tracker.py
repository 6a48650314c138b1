"""Which processes belong to which service, daemonised ones included.

Three facts tell, in this order: descent from the process that was started; having
once been seen to descend from it (a backend whose postmaster was killed); and, for
what double-forked unseen, the marker in the environment it was started with. What
loses its parent is inherited by the supervisor, a child subreaper, or by whoever
called `adopt_orphans`: nothing escapes to init while that one lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterable

from gameday.errors import GamedayError
from gameday.runtime import ProcessId, procfs

# In the environment of every process that a system starts: `<system>/<service>`.
# No command of ours exports it, so no shell of a user can carry it.
MARKER = "GAMEDAY_PROCESS"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans(yes: bool = True) -> None:
    """From now on this process inherits every descendant whose parent ends; or no more."""
    _prctl(_PR_SET_CHILD_SUBREAPER, int(yes))


def die_with_parent(sig: int) -> None:
    """From now on the kernel sends `sig` to this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, sig)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise GamedayError(f"prctl({option}) failed: {os.strerror(ctypes.get_errno())}")


def marked(system: str) -> list[ProcessId]:
    """Every living process of this machine that carries the marker of `system`."""
    prefix = f"{system}/"
    return [
        entry.id
        for entry in procfs.snapshot().values()
        if not entry.dead and procfs.environment(entry.id.pid).get(MARKER, "").startswith(prefix)
    ]


class Tracker:
    """`on_adopted` is told of each process that daemonised itself away from its service."""

    def __init__(self, system: str, on_adopted: Callable[[str, ProcessId], None] = lambda *_: None) -> None:
        self._system = system
        self._on_adopted = on_adopted
        self._roots: dict[ProcessId, str] = {}
        self._members: dict[ProcessId, str] = {}
        self._orphans: set[ProcessId] = set()

    def root(self, service: str, process: ProcessId) -> None:
        """`process` was started for `service`."""
        self._roots[process] = service
        self._members[process] = service

    def members(self, service: str) -> list[ProcessId]:
        """Every living process of `service`, as /proc says now."""
        return [process for process, owner in self.scan().items() if owner == service]

    def scan(self) -> dict[ProcessId, str]:
        """Reads /proc; every living process of the system with its service. Reaps dead orphans."""
        table = procfs.snapshot()
        self._reap(table.values())
        living = {entry.id for entry in table.values() if not entry.dead}
        self._members = {process: owner for process, owner in self._members.items() if process in living}
        self._adopt(table.values())
        for process, owner in list(self._members.items()):
            for entry in procfs.tree([process.pid], table):
                self._members.setdefault(entry.id, owner)
        return dict(self._members)

    def _adopt(self, table: Iterable[procfs.Stat]) -> None:
        """Children of ours that nobody of us started lost their parent."""
        for entry in table:
            if entry.parent != os.getpid() or entry.dead or entry.id in self._roots or entry.id in self._orphans:
                continue
            owner = self._members.get(entry.id) or self._marked(entry.id)
            if owner:
                self._orphans.add(entry.id)
                self._members[entry.id] = owner
                self._on_adopted(owner, entry.id)

    def _marked(self, process: ProcessId) -> str | None:
        system, _, service = procfs.environment(process.pid).get(MARKER, "").partition("/")
        return service if system == self._system and service in self._roots.values() else None

    def _reap(self, table: Iterable[procfs.Stat]) -> None:
        """Zombies that were orphans have only us to bury them."""
        for entry in table:
            if entry.dead and entry.id in self._orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(entry.id.pid, os.WNOHANG)
                self._orphans.discard(entry.id)
