"""A service is asked to end and started again, its replicas one after another. Undo: it is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gameday.errors import GamedayError
from gameday.faults import Evidence, tree
from gameday.faults.kill import Kill
from gameday.runtime import ProcessId, Runtime, procfs


class Restart(Kill):
    name = "restart"

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        super().__init__(target, given)
        self._roots: list[ProcessId] = []
        self._under_way: asyncio.Task[None] | None = None

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - it ends by itself
        self._victims.update(tree.walk(runtime, self.target))
        self._roots = tree.roots(self._victims)
        self._under_way = asyncio.create_task(self._restart(runtime))

    async def in_force(self, runtime: Runtime) -> Evidence:  # noqa: ARG002 - what has ended stays so
        """It has begun: one of what was started has ended. Workers of a server come and go by themselves."""
        ended = not all(map(procfs.alive, self._roots))
        return Evidence(ended, {"processes": tree.states(self._victims)})

    async def exercised(self, runtime: Runtime) -> Evidence:
        """It is over: all that was started has ended, and others live. That nobody noticed is what is hoped for."""
        born = set(tree.walk(runtime, self.target)) - self._victims
        over = self._under_way is not None and self._under_way.done()
        facts = {"before": tree.states(self._roots), "born": tree.states(born)}
        return Evidence(over and bool(born) and not any(map(procfs.alive, self._roots)), facts)

    async def undo(self, runtime: Runtime) -> None:
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
        await super().undo(runtime)

    async def _restart(self, runtime: Runtime) -> None:
        with suppress(GamedayError):  # the undo tries once more, and says why it cannot be
            await runtime.restart(self.target)
