"""Asks for a new training once people have stopped buying for a while: debounced, by whichever replica comes first.

What was asked stands in the stream `retraining` of the store, for whoever trains.
"""

from __future__ import annotations

import asyncio
import time

from system.kit import signals, telemetry
from system.kit.client import UnavailableError
from system.kit.store import Store

PENDING = "retraining:pending"
ASKED = "retraining"
KEPT = 1000

_ASK = """
local events, first, last = unpack(redis.call('HMGET', KEYS[1], 'events', 'first', 'last'))
if not events then return 0 end
local now = tonumber(ARGV[1])
if now - last < tonumber(ARGV[2]) and now - first < tonumber(ARGV[3]) then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'events', events, 'first', first, 'last', last)
redis.call('DEL', KEYS[1])
return tonumber(events)
"""


class Retraining:
    """After `quiet` seconds without a purchase, and after `longest` since the first at the latest."""

    def __init__(self, store: Store, quiet: float, longest: float) -> None:
        self._store = store
        self._quiet = quiet
        self._longest = longest
        self._script = store.script(_ASK)

    async def run(self) -> None:
        """For as long as the service does."""
        while True:
            await asyncio.sleep(self._quiet / 4)
            try:
                await self.ask()
            except UnavailableError:
                # Counted and logged by the store; what is pending stays there.
                continue

    async def ask(self) -> int:
        """For how many events a training is asked for now; 0: it is not yet time. Raises UnavailableError."""
        times = [int(seconds * 1000) for seconds in (time.time(), self._quiet, self._longest)]
        keys = PENDING, ASKED
        events = int(await self._store.ask(lambda redis: self._script(keys, [*times, KEPT], client=redis)))
        if events:
            signals.RETRAINING_ASKED.inc()
            telemetry.logger("ask-for-training").info(signals.LOG_MODEL, events=events)
        return events
