"""A Redis has no room for more than it holds: it evicts, or refuses to write. Undo: its old limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from gameday.faults import Evidence
from gameday.faults.arguments import Arguments
from gameday.faults.cache import CacheFault
from gameday.runtime import Runtime

_LIMIT = "maxmemory"
_MIB = 1024 * 1024


class CacheFullArguments(Arguments):
    """`headroom`: the MiB that it may still take."""

    headroom: int = Field(default=0, ge=0, le=1024 * 1024)


class CacheFull(CacheFault):
    name = "cache-full"
    takes = CacheFullArguments

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        super().__init__(target, given)
        self._before: int | None = None
        self._limit = 0
        self._met_before = (0, 0)

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - the keeper's clock rules
        given = CacheFullArguments.model_validate(dict(self.arguments))
        async with self.client(runtime) as client:
            info = await client.info()
            before, self._met_before = int(info[_LIMIT]), _met(info)
            wanted = int(info["used_memory"]) + given.headroom * _MIB
            # 0 is no limit. One that is lower already stays: it is that full.
            self._limit = min(wanted, before or wanted)
            self._before = before
            await client.config_set(_LIMIT, self._limit)

    async def in_force(self, runtime: Runtime) -> Evidence:
        info = await self._info(runtime)
        facts = {"limit": info[_LIMIT], "used": info["used_memory"], "before": self._before}
        return Evidence(self._before is not None and info[_LIMIT] == self._limit, facts)

    async def exercised(self, runtime: Runtime) -> Evidence:
        """A write had to push something out, or was refused."""
        now = _met(await self._info(runtime))
        evicted, refused = (after - before for after, before in zip(now, self._met_before, strict=True))
        return Evidence(evicted > 0 or refused > 0, {"evicted": evicted, "refused": refused})

    async def undo(self, runtime: Runtime) -> None:
        if self._before is not None:
            async with self.client(runtime) as client:
                await client.config_set(_LIMIT, self._before)

    async def undone(self, runtime: Runtime) -> Evidence:
        if self._before is None:
            return Evidence(True, {"reason": "its limit was never touched"})
        limit = (await self._info(runtime))[_LIMIT]
        return Evidence(limit == self._before, {"limit": limit})

    async def _info(self, runtime: Runtime) -> Mapping[str, Any]:
        async with self.client(runtime) as client:
            info: Mapping[str, Any] = await client.info()
        return info


def _met(info: Mapping[str, Any]) -> tuple[int, int]:
    """Keys that were evicted, and commands that were refused, since the server began."""
    return int(info["evicted_keys"]), int(info.get("errorstat_OOM", {"count": 0})["count"])
