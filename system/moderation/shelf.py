"""What is held until a person has looked at it, and what that person said. In the store, so that it outlives us."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from system.kit.store import Store
from system.moderation.models import Content, Review, Reviews, Ruled

WAITING, PREFIX = "moderation:waiting", "moderation:review:"
# As redis-py types them, whatever it decodes them to.
Fields = Mapping[Any, Any]


def review_id(content: Content) -> str:
    """The same for the same content, so that who asks twice is held once, and finds what was decided."""
    return hashlib.sha256(f"{content.contentId}\0{content.text}".encode()).hexdigest()[:32]


class Shelf:
    """Rulings are kept for `expiry` seconds, what waits for one as long as it takes. Raises UnavailableError."""

    def __init__(self, store: Store, expiry: int) -> None:
        self._store = store
        self._expiry = expiry

    async def find(self, id_: str) -> Review | None:
        return _review(await self._store.ask(lambda redis: redis.hgetall(_key(id_))))

    async def hold(self, review: Review) -> None:
        async def put(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.hsetnx(_key(review.id), "held", review.model_dump_json())
                pipeline.zadd(WAITING, {review.id: review.heldAt.timestamp()}, nx=True)
                pipeline.hexists(_key(review.id), "ruled")
                *_, ruled = await pipeline.execute()
            # Somebody else held it first, and a person was quick.
            if ruled:
                await redis.zrem(WAITING, review.id)

        await self._store.ask(put)

    async def rule(self, id_: str, ruled: Ruled) -> Review | None:
        """The review with the first ruling that it was given; None where nothing of that id was held."""
        if await self.find(id_) is None:
            return None

        async def put(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.hsetnx(_key(id_), "ruled", ruled.model_dump_json())
                pipeline.zrem(WAITING, id_)
                pipeline.expire(_key(id_), self._expiry)
                await pipeline.execute()

        await self._store.ask(put)
        return await self.find(id_)

    async def forget(self, id_: str) -> None:
        async def drop(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.delete(_key(id_))
                pipeline.zrem(WAITING, id_)
                await pipeline.execute()

        await self._store.ask(drop)

    async def waiting(self) -> int:
        return int(await self._store.ask(lambda redis: redis.zcard(WAITING)))

    async def oldest(self, limit: int) -> Reviews:
        async def get(redis: Redis) -> list[Fields]:
            ids = await redis.zrange(WAITING, 0, limit - 1)
            async with redis.pipeline(transaction=False) as pipeline:
                for id_ in ids:
                    pipeline.hgetall(_key(str(id_)))
                found: list[Fields] = await pipeline.execute()
                return found

        reviews = (_review(fields) for fields in await self._store.ask(get))
        return Reviews(waiting=await self.waiting(), reviews=[each for each in reviews if each and not each.ruling])


def _key(id_: str) -> str:
    return f"{PREFIX}{id_}"


def _review(fields: Fields) -> Review | None:
    if "held" not in fields:
        return None
    held = Review.model_validate_json(fields["held"])
    ruled = Ruled.model_validate_json(fields["ruled"]) if "ruled" in fields else None
    return held.model_copy(update={"ruling": ruled})
