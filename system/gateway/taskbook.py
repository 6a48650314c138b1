"""Which tasks were taken, for whom, and what was told of each: in the store, for as long as somebody may ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel
from redis.asyncio import Redis

from system.kit.store import Store
from system.kit.tasks import Outcome


class Taken(BaseModel):
    """A task as it was asked for."""

    id: UUID
    owner: str
    type: str
    documentId: UUID
    takenAt: AwareDatetime


@dataclass(frozen=True)
class Entry:
    """`sent`: the broker has confirmed that it has it."""

    taken: Taken
    sent: bool
    outcome: Outcome | None


class TaskBook:
    """Entries are kept for `expiry` seconds. Raises UnavailableError. What is asked of it twice is done once."""

    def __init__(self, store: Store, expiry: int) -> None:
        self._store = store
        self._expiry = expiry

    async def open(self, taken: Taken) -> Entry:
        """The entry of that id: the first that was made counts."""

        async def put(redis: Redis) -> Mapping[Any, Any]:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.hsetnx(_key(taken.id), "taken", taken.model_dump_json())
                pipeline.expire(_key(taken.id), self._expiry)
                pipeline.hgetall(_key(taken.id))
                *_, fields = await pipeline.execute()
                found: Mapping[Any, Any] = fields
                return found

        return _entry(await self._store.ask(put, idempotent=True))

    async def sent(self, task: UUID) -> None:
        await self._store.ask(lambda redis: redis.hset(_key(task), "sent", "1"), idempotent=True)

    async def find(self, task: UUID) -> Entry | None:
        fields = await self._store.ask(lambda redis: redis.hgetall(_key(task)), idempotent=True)
        return _entry(fields) if "taken" in fields else None

    async def forget(self, task: UUID) -> None:
        await self._store.ask(lambda redis: redis.delete(_key(task)), idempotent=True)

    async def close(self, outcome: Outcome) -> bool:
        """Whether this is the first outcome of its task. The task has to be there."""
        text = outcome.model_dump_json()
        first = await self._store.ask(
            lambda redis: redis.hsetnx(_key(outcome.taskId), "outcome", text), idempotent=True
        )
        return bool(first)


def _key(task: UUID) -> str:
    return f"task:{task}"


def _entry(fields: Mapping[Any, Any]) -> Entry:
    outcome = fields.get("outcome")
    return Entry(
        taken=Taken.model_validate_json(fields["taken"]),
        sent="sent" in fields,
        outcome=Outcome.model_validate_json(outcome) if outcome else None,
    )
