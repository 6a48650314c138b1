"""The faults by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gameday.catalogue import Catalogue
from gameday.errors import Problem
from gameday.faults import Fault
from gameday.faults.arguments import nearest
from gameday.faults.down import Down
from gameday.faults.kill import Kill
from gameday.faults.latency import Latency
from gameday.faults.pause import Pause
from gameday.faults.reset_peer import ResetPeer
from gameday.faults.timeout import Timeout

FAULTS: Mapping[str, Callable[[str, Mapping[str, Any]], Fault]] = {
    fault.name: fault for fault in (Kill, Pause, Latency, Timeout, ResetPeer, Down)
}


def problems(name: str, target: str, arguments: Mapping[str, Any], catalogue: Catalogue) -> Sequence[Problem]:
    """What is wrong with a fault as a person wrote it: its name, its target, its arguments."""
    if name not in FAULTS:
        return [Problem(f"there is no fault {name!r}", nearest(name, FAULTS), key="fault", value=name)]
    return FAULTS[name](target, arguments).problems(catalogue)
