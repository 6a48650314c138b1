"""Durations as people write them (`1m30s`, `800ms`), and bounds on them (`<= 5s`)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_BOUND = re.compile(r"\s*(<=|>=|<|>)\s*(.+?)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def seconds(text: str) -> float:
    """`1m30s` -> 90.0. Raises ValueError for anything else, a bare number too."""
    position = 0
    total = 0.0
    for part in _PART.finditer(text):
        if part.start() != position:
            break
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not text or position != len(text):
        raise ValueError(f"{text!r} is not a duration such as 800ms, 5s or 1m30s")
    return total


def text(value: float) -> str:
    """A duration in seconds as a person reads it: 0.25 -> `250ms`, 90 -> `90s`."""
    return f"{value * 1000:.0f}ms" if value < 1 else f"{value:.3g}s"


@dataclass(frozen=True)
class Bound:
    """A comparison with a duration in seconds."""

    sign: str
    limit: float

    @classmethod
    def parse(cls, source: str) -> Bound:
        match = _BOUND.fullmatch(source)
        if not match:
            raise ValueError(f"{source!r} is not a bound such as '<= 5s'")
        return cls(match[1], seconds(match[2]))

    def holds(self, value: float) -> bool:
        return _COMPARE[self.sign](value, self.limit)

    def __str__(self) -> str:
        return f"{self.sign} {text(self.limit)}"


@dataclass(frozen=True)
class TimeScale:
    """How many times faster the timers of the system run than in production.

    Experiment files speak production time. A timer that takes `limit` seconds
    there may take `limit / factor + slack` here: `slack` (scrape, evaluation,
    delivery, in real seconds) does not shrink.
    """

    factor: float = 1.0

    def real(self, production: float, slack: float = 0.0) -> float:
        return production / self.factor + slack
