"""What was said before, kept in the store until nobody has spoken for a while."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter
from redis.asyncio import Redis

from system.chat.provider import Turn
from system.kit.store import Store

_TURN = TypeAdapter(Turn)


class Sessions:
    """`kept` turns at most, for `expiry` seconds after the last. Raises UnavailableError."""

    def __init__(self, store: Store, *, kept: int, expiry: int) -> None:
        self._store = store
        self._kept = kept
        self._expiry = expiry

    async def turns(self, session: str) -> list[Turn]:
        found = await self._store.ask(lambda redis: redis.lrange(_key(session), -self._kept, -1))
        return [_TURN.validate_json(turn) for turn in found]

    async def add(self, session: str, turns: Sequence[Turn]) -> None:
        said = [_TURN.dump_json(turn).decode() for turn in turns]

        async def append(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.rpush(_key(session), *said)
                pipeline.ltrim(_key(session), -self._kept, -1)
                pipeline.expire(_key(session), self._expiry)
                await pipeline.execute()

        await self._store.ask(append)

    async def forget(self, session: str) -> None:
        await self._store.ask(lambda redis: redis.delete(_key(session)))


def _key(session: str) -> str:
    return f"chat:{session}"
