"""What became of each task so far, in the store: a message may come twice, and its worker may die in between."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel

from system.kit.store import Store
from system.kit.tasks import Outcome, Task

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


class Ledger:
    """Entries are kept for `expiry` seconds after they were last written. Raises UnavailableError."""

    def __init__(self, store: Store, expiry: int) -> None:
        self._store = store
        self._expiry = expiry

    async def find(self, task: UUID) -> Entry | None:
        found = await self._store.ask(lambda redis: redis.get(_key(task)))
        return Entry.model_validate_json(found) if found else None

    async def write(self, entry: Entry) -> None:
        text = entry.model_dump_json()
        await self._store.ask(lambda redis: redis.set(_key(entry.task.id), text, ex=self._expiry))


def _key(task: UUID) -> str:
    return f"ai-worker:task:{task}"
