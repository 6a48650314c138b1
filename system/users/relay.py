"""Brings what is in the outbox to the bus: each event at least once, those of one user in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from time import monotonic

from pydantic_core import to_json

from system.kit import database, signals, telemetry
from system.kit.bus import Bus
from system.kit.client import UnavailableError
from system.users import outbox
from system.users.outbox import Event

QUEUE = "user-svc.outbox"
BATCH = 200
# A turn holds its events for as long, at most: a broker that does not confirm must not hold a connection for good.
TURN_SECONDS = 20.0
# What other replicas, or this one in an earlier life, left behind.
POLL_SECONDS = 1.0
AGAIN_SECONDS = (0.2, 5.0)
FORGET_EVERY_SECONDS = 3600.0


class Relay:
    def __init__(self, pool: database.Pool, bus: Bus) -> None:
        self._pool = pool
        self._bus = bus
        self._something = asyncio.Event()
        self._forgot_at = float("-inf")

    def nudge(self) -> None:
        """There is something new: it need not wait for the next look."""
        self._something.set()

    async def run(self) -> None:
        """For as long as the service does."""
        pause, longest = AGAIN_SECONDS
        while True:
            self._something.clear()
            try:
                there_is_more = await self.turn()
                pause = AGAIN_SECONDS[0]
                if not there_is_more:
                    await self._idle()
            except (UnavailableError, database.DatabaseDownError) as error:
                telemetry.logger("relay").warning(signals.LOG_OUTBOX_WAITS, error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)

    async def turn(self) -> bool:
        """Publishes some events; whether there may be more. Raises UnavailableError where the broker took not all."""
        async with database.transaction(self._pool, TURN_SECONDS) as connection:
            await connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{TURN_SECONDS:g}s'")
            events = await outbox.claim(connection, BATCH)
            confirmed, problem = await self.publish(events)
            await outbox.mark(connection, confirmed)
        if problem:
            raise problem
        return bool(events)

    async def publish(self, events: list[Event]) -> tuple[list[int], UnavailableError | None]:
        """The numbers of those that the broker has confirmed, and what was wrong with the others."""
        confirmed: list[int] = []

        async def in_order(of_one_key: Iterable[Event]) -> None:
            for event in of_one_key:
                body = to_json(event.payload)
                await self._bus.publish(
                    event.type, body, message_id=event.id, headers=event.headers, occurred=event.created_at
                )
                confirmed.append(event.number)

        by_key = groupby(sorted(events, key=attrgetter("key", "number")), key=attrgetter("key"))
        results = await asyncio.gather(*(in_order(list(group)) for _, group in by_key), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, UnavailableError):
                raise result
        return confirmed, next((result for result in results if isinstance(result, UnavailableError)), None)

    async def _idle(self) -> None:
        async with database.transaction(self._pool) as connection:
            signals.QUEUE_MESSAGES.labels(QUEUE).set(await outbox.waiting(connection))
            if monotonic() - self._forgot_at > FORGET_EVERY_SECONDS and await outbox.forget(connection, BATCH) < BATCH:
                self._forgot_at = monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._something.wait()
