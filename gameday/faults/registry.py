"""The faults by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gameday.catalogue import Catalogue
from gameday.errors import Problem
from gameday.faults import Fault
from gameday.faults.arguments import nearest
from gameday.faults.bandwidth import Bandwidth
from gameday.faults.cache_flush import CacheFlush
from gameday.faults.cache_full import CacheFull
from gameday.faults.cpu import Cpu
from gameday.faults.cut_stream import CutStream
from gameday.faults.db_connections import DbConnections
from gameday.faults.down import Down
from gameday.faults.http_delay import HttpDelay
from gameday.faults.http_garbage import HttpGarbage
from gameday.faults.http_status import HttpStatus
from gameday.faults.kill import Kill
from gameday.faults.latency import Latency
from gameday.faults.limit_data import LimitData
from gameday.faults.malformed import Malformed
from gameday.faults.memory import Memory
from gameday.faults.overloaded import Overloaded
from gameday.faults.pause import Pause
from gameday.faults.poison import Poison
from gameday.faults.rate_limit import RateLimit
from gameday.faults.reset_peer import ResetPeer
from gameday.faults.restart import Restart
from gameday.faults.slicer import Slicer
from gameday.faults.slow_close import SlowClose
from gameday.faults.slow_first_token import SlowFirstToken
from gameday.faults.stop import Stop
from gameday.faults.timeout import Timeout
from gameday.faults.token_burn import TokenBurn

Make = Callable[[str, Mapping[str, Any]], Fault]
# By what they act on.
FAMILIES: Mapping[str, Sequence[Any]] = {
    "service": (Kill, Stop, Restart, Pause, Cpu, Memory, CacheFlush, CacheFull),
    "edge": (
        Latency,
        Bandwidth,
        Slicer,
        SlowClose,
        Timeout,
        ResetPeer,
        LimitData,
        Down,
        HttpStatus,
        HttpDelay,
        HttpGarbage,
        DbConnections,
    ),
    "queue": (Poison,),
    "model": (Overloaded, RateLimit, SlowFirstToken, CutStream, Malformed, TokenBurn),
}
FAULTS: Mapping[str, Make] = {fault.name: fault for faults in FAMILIES.values() for fault in faults}
# What these did is kept by a store, also when the whole system has ended.
LASTING: Mapping[str, Callable[[str, Mapping[str, Any], str], Fault]] = {Poison.name: Poison}


def family(name: str) -> str:
    return next(family for family, faults in FAMILIES.items() if name in {fault.name for fault in faults})


def problems(name: str, target: str, arguments: Mapping[str, Any], catalogue: Catalogue) -> Sequence[Problem]:
    """What is wrong with a fault as a person wrote it: its name, its target, its arguments."""
    if name not in FAULTS:
        return [Problem(f"there is no fault {name!r}", nearest(name, FAULTS), key="fault", value=name)]
    return FAULTS[name](target, arguments).problems(catalogue)
