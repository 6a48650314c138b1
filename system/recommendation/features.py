"""What users liked since the model was trained. Kept in the cache: losing it costs freshness, not answers."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from system.kit.store import Store

# Older likes say less than what the model has learned anyway.
KEPT = 50
EXPIRY_SECONDS = 30 * 24 * 3600


class Features:
    """Raises UnavailableError where the store does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def likes(self, user: str) -> list[str]:
        """Ids of items, the latest first."""
        found = await self._store.ask(lambda redis: redis.lrange(_key(user), 0, KEPT - 1))
        return [str(item) for item in found]

    async def like(self, user: str, items: Sequence[str]) -> None:
        async def update(redis: Redis) -> None:
            key = _key(user)
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.lpush(key, *items)
                pipeline.ltrim(key, 0, KEPT - 1)
                pipeline.expire(key, EXPIRY_SECONDS)
                await pipeline.execute()

        await self._store.ask(update)

    async def forget(self, user: str) -> None:
        await self._store.ask(lambda redis: redis.delete(_key(user)))


def _key(user: str) -> str:
    return f"likes:{user}"
