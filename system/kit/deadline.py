"""How long the caller of this request still waits. Passed on with each call, so that nobody works for nobody."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from types import TracebackType

HEADER = "x-timeout-ms"
LONGEST_SECONDS = 600.0
LATE_SECONDS = 0.02

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


class Timeout:
    """As `asyncio.timeout`, but fair to what it waits for.

    After a time in which this process had no processor, timers come before answers
    that have long been here. A timer that is late gives them another moment.
    """

    def __init__(self, seconds: float) -> None:
        self._scope = asyncio.timeout(None)
        self._seconds = seconds

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self._due, self._expire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._scope.__aexit__(kind, error, tb)

    def _expire(self) -> None:
        now = self._loop.time()
        if now - self._due > LATE_SECONDS:
            self._timer = self._loop.call_at(now + LATE_SECONDS, self._scope.reschedule, now)
        else:
            self._scope.reschedule(now)


async def waited(future: asyncio.Future[None], seconds: float) -> None:
    """Until `future`, which is nobody else's, is done: as within a `Timeout`, for less. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    timer = loop.call_later(seconds, _expire, future, loop.time() + seconds)
    try:
        await future
    finally:
        timer.cancel()


def _expire(future: asyncio.Future[None], due: float) -> None:
    loop = future.get_loop()
    if loop.time() - due > LATE_SECONDS:
        loop.call_later(LATE_SECONDS, _give_up, future)
    else:
        _give_up(future)


def _give_up(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def clear() -> None:
    _DEADLINE.set(None)
