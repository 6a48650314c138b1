"""A service is asked to end (SIGTERM), as by `docker stop`, and stays away. Undo: it is started again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Collection

from pydantic import Field

from gameday.faults import tree
from gameday.faults.arguments import Arguments
from gameday.faults.kill import Kill
from gameday.runtime import ProcessId, Runtime, procfs


class StopArguments(Arguments):
    """Who is still there `grace` ms after SIGTERM is killed."""

    grace: float = Field(default=3000, ge=0, le=8000)


class Stop(Kill):
    name = "stop"
    takes = StopArguments

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:
        given = StopArguments.model_validate(dict(self.arguments))
        self._victims.update(tree.walk(runtime, self.target))
        await self.mark(runtime)
        roots = tree.roots(self._victims)
        for process in roots:
            procfs.send(process, signal.SIGTERM)
        await _end(roots, given.grace / 1000)
        # What a container's first process leaves behind ends with its container.
        if tree.walk(runtime, self.target):
            await super().inject(runtime, lease, ttl)


async def _end(processes: Collection[ProcessId], seconds: float) -> None:
    """Waits until all have ended, at most for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(map(procfs.alive, processes)):
            return
        await asyncio.sleep(0.01)
