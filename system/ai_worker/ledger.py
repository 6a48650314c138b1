"""What became of each task so far, in the store: a message may come twice, and its worker may die in between."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel
from redis.asyncio import Redis

from system.kit import telemetry
from system.kit.store import Store
from system.kit.tasks import Outcome, Task

TOLD = "ai-worker:told"
# What one may look back at.
TOLD_AT_MOST = 10_000

# What was begun, what is known and not yet told, what was told, what could not be told, what was never begun.
State = Literal["begun", "telling", "told", "untold", "refused"]


class Entry(BaseModel):
    """`attempts` to tell the outcome so far; the next one is not before `due`. `misread`: answers of the model."""

    task: Task
    state: State = "begun"
    outcome: Outcome | None = None
    misread: int = 0
    attempts: int = 0
    due: AwareDatetime | None = None
    error: str | None = None


class Told(BaseModel):
    """That the receiver of this task has its outcome. `correlationId` is that of whoever asked for it."""

    taskId: UUID
    correlationId: str


class Ledger:
    """Entries are kept for `expiry` seconds after they were last written. Raises UnavailableError."""

    def __init__(self, store: Store, expiry: int) -> None:
        self._store = store
        self._expiry = expiry

    async def find(self, task: UUID) -> Entry | None:
        found = await self._store.ask(lambda redis: redis.get(_key(task)))
        return Entry.model_validate_json(found) if found else None

    async def write(self, entry: Entry) -> None:
        """Once it says `told`, it is also listed: an outcome that was told twice is there twice."""
        told = Told(taskId=entry.task.id, correlationId=telemetry.CORRELATION_ID.get() or "")

        async def put(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.set(_key(entry.task.id), entry.model_dump_json(), ex=self._expiry)
                if entry.state == "told":
                    pipeline.lpush(TOLD, told.model_dump_json())
                    pipeline.ltrim(TOLD, 0, TOLD_AT_MOST - 1)
                    pipeline.expire(TOLD, self._expiry)
                await pipeline.execute()

        await self._store.ask(put)

    async def told(self) -> list[Told]:
        """What was told, the latest first."""
        found = await self._store.ask(lambda redis: redis.lrange(TOLD, 0, -1))
        return [Told.model_validate_json(each) for each in found]


def _key(task: UUID) -> str:
    return f"ai-worker:task:{task}"
