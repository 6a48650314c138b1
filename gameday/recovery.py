"""Makes whole what a crash, or a fault that would not end, left broken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gameday import guardian, leases
from gameday.control import Control
from gameday.errors import GamedayError, InputError
from gameday.state import State

# The keeper gives one undo forty seconds, and the restart of a slow service takes its time.
_UNDO_SECONDS = 180.0

Lease = dict[str, Any]


@dataclass
class Recovery:
    """What was mended now, which processes were ended, what a run still holds, what stays broken."""

    mended: list[Lease] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    in_force: list[Lease] = field(default_factory=list)
    leaked: list[Lease] = field(default_factory=list)

    def sort(self, undone: Iterable[Lease]) -> None:
        for lease in undone:
            (self.leaked if lease["state"] == leases.Phase.LEAKED else self.mended).append(lease)


def recover(state: State, *, everything: bool) -> Recovery:
    """`everything`: also the faults in force that a run of a living system will undo itself.

    Raises GamedayError where a system is just starting or ending in `state`.
    """
    try:
        control = Control.connect(state.directory)
    except InputError:
        return _of_the_dead(state)
    with control:
        return _of_the_living(control, everything=everything)


def _of_the_living(control: Control, *, everything: bool) -> Recovery:
    recovery = Recovery()
    for lease in control.call("leases"):
        if lease["state"] == leases.Phase.LEAKED or (everything and lease["state"] in leases.OPEN):
            recovery.sort(control.call("undo", lease=lease["id"], timeout=_UNDO_SECONDS))
        elif lease["state"] in leases.OPEN:
            recovery.in_force.append(lease)
    return recovery


def _of_the_dead(state: State) -> Recovery:
    recovery = Recovery()
    if not state.directory.is_dir():
        return recovery
    with state.locked() as lock:
        if lock is None:
            raise GamedayError(f"a system is starting or ending in {state.directory}: try again in a moment")
        recovery.ended = guardian.sweep(state)
        recovery.sort(leases.settle(state.leases, list(guardian.leftovers(state))))
    return recovery
