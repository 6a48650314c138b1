"""How long the caller of this request still waits. Passed on with each call, so that nobody works for nobody."""

from __future__ import annotations

import time
from contextvars import ContextVar

HEADER = "x-timeout-ms"
LONGEST_SECONDS = 600.0

_DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)


def received(milliseconds: str | None) -> None:
    """Takes the caller's header over; nonsense is no deadline."""
    if milliseconds and milliseconds.isascii() and milliseconds.isdigit():
        within(min(int(milliseconds) / 1000, LONGEST_SECONDS))


def within(seconds: float) -> None:
    """From here on the current request has at most `seconds` left."""
    _DEADLINE.set(time.monotonic() + remaining(seconds))


def remaining(limit: float) -> float:
    """Seconds left of the current request, at most `limit`, never below 0."""
    deadline = _DEADLINE.get()
    return limit if deadline is None else max(0.0, min(limit, deadline - time.monotonic()))


def clear() -> None:
    _DEADLINE.set(None)
