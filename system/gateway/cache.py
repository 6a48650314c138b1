"""Answers kept in Redis, one hash a user, so that all of a user's can be dropped at once.

A cache that is gone is a miss; its breaker keeps it from costing time.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json, to_json
from redis.asyncio import Redis

from system.kit import signals
from system.kit.client import UnavailableError
from system.kit.store import Store

M = TypeVar("M", bound=BaseModel)

# For how many times its life an answer is kept to stand in while its provider is gone.
STALE_LIVES = 4


@dataclass(frozen=True)
class Kept(Generic[M]):
    """`fresh`: good enough to be given without asking again."""

    answer: M
    fresh: bool


class Cache(Generic[M]):
    """The answers of one route. `seconds` is the life of one."""

    def __init__(self, store: Store, route: str, seconds: float, model: type[M]) -> None:
        self._store = store
        self._route = route
        self._seconds = seconds
        self._model = model
        signals.announce_cache(route)

    async def get(self, user: str, wish: BaseModel) -> Kept[M] | None:
        try:
            text = await self._store.ask(lambda redis: redis.hget(_key(user), self._field(wish)))
        except UnavailableError:
            self._count("error")
            return None
        if text is None:
            self._count("miss")
            return None
        until, answer = from_json(text)
        fresh = until > time.time()
        self._count("hit" if fresh else "stale")
        return Kept(self._model.model_validate(answer), fresh)

    async def put(self, user: str, wish: BaseModel, answer: M, share: float) -> None:
        """Keeps `answer` for `share` of the life; not at all where that is 0, as for a fallback."""
        if not share:
            return
        life = self._seconds * share
        text = to_json([time.time() + life, answer.model_dump(mode="json")]).decode()
        milliseconds = int(self._seconds * STALE_LIVES * 1000)

        async def write(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipeline:
                pipeline.hset(_key(user), self._field(wish), text)
                pipeline.pexpire(_key(user), milliseconds)
                await pipeline.execute()

        with suppress(UnavailableError):
            # Counted and logged by the store; the answer itself is fine.
            await self._store.ask(write)

    def _field(self, wish: BaseModel) -> str:
        """A wish as the model has read it: spelled differently, it is the same wish."""
        return f"{self._route} {hashlib.sha256(wish.model_dump_json().encode()).hexdigest()[:32]}"

    def _count(self, result: signals.CacheResult) -> None:
        signals.CACHE_REQUESTS.labels(self._route, result).inc()


async def drop(store: Store, user: str) -> None:
    """Forgets all that is kept of `user`."""
    with suppress(UnavailableError):
        await store.ask(lambda redis: redis.delete(_key(user)))


def _key(user: str) -> str:
    return f"answers:{user}"
