"""What a service does beside its requests, for as long as it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

from system.kit import signals, telemetry

AGAIN_SECONDS = 0.2


@asynccontextmanager
async def running(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Runs `work` for as long as the block lasts. A part that fails is logged at once; the others go on."""
    tasks = [asyncio.create_task(part) for part in work]
    for task in tasks:
        task.add_done_callback(_tell)
    try:
        yield
    finally:
        for task in tasks:
            await end(task)


async def end(task: asyncio.Task[None]) -> None:
    """Cancels `task` until it has ended: what asks a store or a broker may lose a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        telemetry.logger().error(signals.LOG_UNHANDLED, exc_info=error)
