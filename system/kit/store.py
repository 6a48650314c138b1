"""A Redis behind a timeout and a breaker: what is gone costs its consumer a few attempts, not every request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from system.kit import signals, telemetry
from system.kit.breaker import CircuitBreaker, Consecutive, OpenError
from system.kit.client import UnavailableError

R = TypeVar("R")


class Store:
    """`edge` is "consumer->provider". Times in seconds. `falls_back`: calls that its consumer does without count.

    A store is cheap to ask, so the breaker tries it again after a second.
    """

    def __init__(
        self,
        edge: str,
        url: str,
        *,
        timeout: float = 0.1,
        failures: int = 3,
        reset: float = 1.0,
        falls_back: bool = False,
    ) -> None:
        self.edge = edge
        self._falls_back = falls_back
        self._redis: Redis = Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            max_connections=200,
        )
        self._breaker = CircuitBreaker(edge, Consecutive(failures), reset)
        signals.announce_edge(edge, falls_back=falls_back)

    async def ask(self, command: Callable[[Redis], Awaitable[R]], *, idempotent: bool = False) -> R:
        """What `command` makes of the client. Raises UnavailableError within the timeout of each of its calls.

        One that is `idempotent` is asked once more where no answer came in time.
        """
        try:
            return await self._ask(command)
        except UnavailableError as error:
            if not idempotent or error.reason != "timeout":
                raise
        signals.EDGE_RETRIES.labels(self.edge).inc()
        return await self._ask(command)

    async def _ask(self, command: Callable[[Redis], Awaitable[R]]) -> R:
        try:
            permit = self._breaker.permit()
        except OpenError as error:
            signals.series(signals.EDGE_REQUESTS, self.edge, "short_circuit").inc()
            self._count("open")
            raise UnavailableError(self.edge, "open", retry_after=error.retry_after) from error
        started = time.monotonic()
        try:
            answer = await command(self._redis)
        except (RedisError, OSError, RuntimeError) as error:
            # RuntimeError is what uvloop says of a connection that was lost before it could be written to.
            permit.failure(time.monotonic() - started)
            raise self._unavailable(error) from error
        except BaseException:
            permit.abandon()
            raise
        permit.success(time.monotonic() - started)
        signals.series(signals.EDGE_REQUESTS, self.edge, "success").inc()
        signals.series(signals.EDGE_DURATION, self.edge).observe(time.monotonic() - started)
        return answer

    def script(self, text: str) -> AsyncScript:
        """To be called within `ask`; sent to the store once, and named by its hash from then on."""
        return self._redis.register_script(text)

    async def close(self) -> None:
        await self._redis.aclose()

    def _unavailable(self, error: Exception) -> UnavailableError:
        reason: signals.FallbackReason = "timeout" if isinstance(error, RedisTimeoutError) else "connection"
        signals.series(signals.EDGE_REQUESTS, self.edge, "failure").inc()
        self._count(reason)
        telemetry.logger().warning(signals.LOG_EDGE_FAILURE, edge=self.edge, reason=reason, error=str(error))
        return UnavailableError(self.edge, reason, str(error))

    def _count(self, reason: signals.FallbackReason) -> None:
        if self._falls_back:
            signals.FALLBACK.labels(self.edge, reason).inc()
