"""What users liked since the model was trained, and what was last recommended to them.

Kept in the cache: losing it costs freshness and time, not answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from system.kit.store import Store
from system.kit.together import Together

# Older likes say less than what the model has learned anyway.
KEPT = 50
EXPIRY_SECONDS = 30 * 24 * 3600

# The likes and the answer of each asked user as of one moment.
LOOK = """
local found = {}
for i = 1, #KEYS, 2 do
  found[i] = redis.call('LRANGE', KEYS[i], 0, -1)
  found[i + 1] = redis.call('HGET', KEYS[i + 1], ARGV[(i + 1) / 2])
end
return found
"""


class Asked(NamedTuple):
    """What an answer depends on beside likes: `model` is a version."""

    user: str
    model: str
    limit: int


class Known(NamedTuple):
    """Ids of liked items, the latest first, and an answer where one is kept."""

    likes: list[str]
    answer: str | None


class Features:
    """Raises UnavailableError where the store does not answer. `answer_seconds`: for how long answers are kept."""

    def __init__(self, store: Store, answer_seconds: float) -> None:
        self._store = store
        self._answer_milliseconds = int(answer_seconds * 1000)
        self._script = store.script(LOOK)
        self._look: Together[Asked, Known] = Together(self._look_all)

    async def known(self, asked: Asked) -> Known:
        return await self._look(asked)

    async def keep(self, asked: Asked, answer: str) -> None:
        if not self._answer_milliseconds:
            return

        async def write(redis: Redis) -> None:
            key = _answers(asked.user)
            async with redis.pipeline(transaction=False) as pipeline:
                pipeline.hset(key, _field(asked), answer)
                pipeline.pexpire(key, self._answer_milliseconds)
                await pipeline.execute()

        await self._store.ask(write)

    async def like(self, user: str, items: Sequence[str]) -> None:
        async def update(redis: Redis) -> None:
            key = _likes(user)
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.lpush(key, *items)
                pipeline.ltrim(key, 0, KEPT - 1)
                pipeline.expire(key, EXPIRY_SECONDS)
                await pipeline.execute()

        await self._store.ask(update)

    async def forget(self, user: str) -> None:
        await self._store.ask(lambda redis: redis.delete(_likes(user), _answers(user)))

    async def _look_all(self, all_asked: Sequence[Asked]) -> list[Known]:
        keys = [key for asked in all_asked for key in (_likes(asked.user), _answers(asked.user))]
        fields = [_field(asked) for asked in all_asked]
        found = await self._store.ask(lambda redis: self._script(keys, fields, client=redis))
        return [Known(likes, answer) for likes, answer in zip(found[::2], found[1::2], strict=True)]


def _likes(user: str) -> str:
    return f"likes:{user}"


def _answers(user: str) -> str:
    return f"answers:{user}"


def _field(asked: Asked) -> str:
    return f"{asked.model}/{asked.limit}"
