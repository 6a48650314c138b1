"""A service gets little of the processor: it is stopped for a share of each period. Undo: it runs freely again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from gameday.faults import Evidence, tree
from gameday.faults.arguments import Arguments
from gameday.faults.pause import Pause
from gameday.runtime import Runtime, procfs


class CpuArguments(Arguments):
    """Of each `period` (ms) the service is stopped for `share`."""

    share: float = Field(gt=0, lt=1)
    period: float = Field(default=100, ge=20, le=60_000)


class Cpu(Pause):
    name = "cpu"
    takes = CpuArguments

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        super().__init__(target, given)
        self._cycle: asyncio.Task[None] | None = None
        self._seen: dict[str, str] = {}
        self._stops = 0

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - the keeper's clock rules
        given = CpuArguments.model_validate(dict(self.arguments))
        await self.mark(runtime)
        self._cycle = asyncio.create_task(self._alternate(runtime, given))

    async def in_force(self, runtime: Runtime) -> Evidence:  # noqa: ARG002 - what /proc said at the last stop
        if self._cycle is None or self._cycle.done():
            why = "the cycle ended" if self._cycle is None else repr(self._cycle.exception())
            return Evidence(False, {"reason": why})
        facts = {"stops": self._stops, "stopped": self._seen}
        return Evidence(bool(self._seen) and set(self._seen.values()) <= tree.STOPPED, facts)

    async def exercised(self, runtime: Runtime) -> Evidence:
        """Who waits while the target runs may be waited for by nobody: only a look at a stopped target counts."""
        met = await super().exercised(runtime)
        stopped = tree.STOPPED & set(tree.states(self._everyone(runtime)).values())
        return Evidence(met.holds and bool(stopped), met.facts)

    async def undo(self, runtime: Runtime) -> None:
        if self._cycle is not None:
            self._cycle.cancel()
            await asyncio.gather(self._cycle, return_exceptions=True)
        await super().undo(runtime)

    async def _alternate(self, runtime: Runtime, given: CpuArguments) -> None:
        while True:
            await tree.freeze(runtime, self.target, self._frozen)
            self._seen = tree.states(self._everyone(runtime))
            self._stops += 1
            await asyncio.sleep(given.period * given.share / 1000)
            for process in self._everyone(runtime):
                procfs.send(process, signal.SIGCONT)
            await asyncio.sleep(given.period * (1 - given.share) / 1000)
