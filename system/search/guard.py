"""Calls of what may be lost without the search being lost: within their time, behind a breaker, counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from system.kit import deadline, signals, telemetry
from system.kit.breaker import Breaker, OpenError, Permit
from system.kit.client import UnavailableError

T = TypeVar("T")


class Guard:
    """`seconds` is how long a call may take."""

    def __init__(self, breaker: Breaker, seconds: float) -> None:
        self.edge = breaker.edge
        self._breaker = breaker
        self._seconds = seconds
        signals.announce_edge(self.edge, falls_back=True)

    async def ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """Raises UnavailableError, whatever `work` raises."""
        permit = self._permit()
        started = time.monotonic()
        try:
            async with asyncio.timeout(deadline.remaining(self._seconds)):
                answer = await work()
        except Exception as error:
            permit.failure(self._took(started))
            raise self._failed(error) from error
        except BaseException:
            permit.abandon()
            raise
        permit.success(self._took(started))
        signals.EDGE_REQUESTS.labels(self.edge, "success").inc()
        return answer

    def _permit(self) -> Permit:
        try:
            return self._breaker.permit()
        except OpenError as error:
            signals.EDGE_REQUESTS.labels(self.edge, "short_circuit").inc()
            raise UnavailableError(self.edge, "open", retry_after=error.retry_after) from error

    def _took(self, started: float) -> float:
        seconds = time.monotonic() - started
        signals.EDGE_DURATION.labels(self.edge).observe(seconds)
        return seconds

    def _failed(self, error: Exception) -> UnavailableError:
        found = _unavailable(self.edge, error)
        signals.EDGE_REQUESTS.labels(self.edge, "failure").inc()
        telemetry.logger().warning(signals.LOG_EDGE_FAILURE, edge=self.edge, reason=found.reason, error=str(found))
        return found


def _unavailable(edge: str, error: Exception) -> UnavailableError:
    match error:
        case UnavailableError():
            return error
        case TimeoutError():
            return UnavailableError(edge, "timeout")
        case OSError():
            return UnavailableError(edge, "connection", str(error))
        case _:
            return UnavailableError(edge, "status", f"{type(error).__name__}: {error}")
