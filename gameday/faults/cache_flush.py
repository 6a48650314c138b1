"""All that a cache holds is gone at once (FLUSHALL). What is read next fills it again: there is nothing to undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gameday.errors import GamedayError
from gameday.faults import Evidence
from gameday.faults.cache import CacheFault
from gameday.runtime import Runtime


class CacheFlush(CacheFault):
    name = "cache-flush"

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        super().__init__(target, given)
        self._keys = self._left = self._misses = 0

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - it is over at once
        async with self.client(runtime) as client:
            before = await client.info()
            if before["aof_enabled"]:
                message = "keeps each write on disk, so it is no cache: what is flushed would be lost for good"
                raise GamedayError(f"{self.target} {message}")
            # In one transaction: a consumer that fills it again comes after the count.
            both = client.pipeline(transaction=True)
            both.flushall()
            both.info()
            _, after = await both.execute()
        self._keys, self._left, self._misses = _keys(before), _keys(after), after["keyspace_misses"]

    async def in_force(self, runtime: Runtime) -> Evidence:  # noqa: ARG002 - what the server said in the same moment
        return Evidence(self._keys > 0 and self._left == 0, {"keys": self._keys, "left": self._left})

    async def exercised(self, runtime: Runtime) -> Evidence:
        """Somebody looked for a key that was not there any more."""
        async with self.client(runtime) as client:
            misses = (await client.info("stats"))["keyspace_misses"] - self._misses
        return Evidence(self._keys > 0 and misses > 0, {"keys": self._keys, "misses": misses})

    async def undo(self, runtime: Runtime) -> None:
        """What was flushed does not come back, and nothing of the fault is left."""

    async def undone(self, runtime: Runtime) -> Evidence:  # noqa: ARG002 - it was over at once
        return Evidence(True, {"reason": "what is read next fills it again"})


def _keys(info: Mapping[str, Any]) -> int:
    """In all databases."""
    return sum(each["keys"] for name, each in info.items() if name.startswith("db") and isinstance(each, Mapping))
