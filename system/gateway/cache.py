"""Answers kept in Redis, one hash a user, so that all of a user's can be dropped at once.

A cache that is gone is a miss; its breaker keeps it from costing time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json, to_json
from redis.asyncio import Redis

from system.gateway.exchange import JSON, Exchange, Reply, told
from system.kit import answers, signals
from system.kit.client import UnavailableError
from system.kit.store import Store
from system.kit.together import Together

# For how many times its life an answer is kept to stand in while its provider is gone.
STALE_LIVES = 4
FALLBACK = "fallback"


class Sourced(Protocol):
    """An answer that says who gave it."""

    @property
    def source(self) -> str: ...

    def model_dump_json(self) -> str: ...


M = TypeVar("M", bound=Sourced)


@dataclass(frozen=True)
class Kept:
    """`fresh`: good enough to be given without asking again."""

    body: bytes
    fresh: bool


class Cache(Generic[M]):
    """The answers of one route. `seconds` is the life of one."""

    def __init__(self, store: Store, route: str, seconds: float) -> None:
        self._store = store
        self._route = route
        self._seconds = seconds
        self._look: Together[tuple[str, str], str | None] = Together(self._look_all)
        signals.announce_cache(route)

    async def answer(self, asked: Exchange, wanted: BaseModel, ask: Callable[[], Awaitable[tuple[M, float]]]) -> Reply:
        """What is kept where that is fresh, else what `ask` says; where that is a fallback, rather what was kept.

        `ask` also says for which share of the life its answer may be kept: for none, where that is 0.
        """
        place = asked.sender.user, f"{self._route} {_digest(wanted.model_dump_json().encode())}"
        kept = await self._get(place)
        if kept and kept.fresh:
            return _reply(asked, kept.body, b"hit")
        answer, share = await ask()
        if kept and answer.source == FALLBACK:
            return _reply(asked, kept.body, b"stale")
        body = answer.model_dump_json().encode()
        if share and answer.source != FALLBACK:
            await self._put(place, body, self._seconds * share)
        return _reply(asked, body, b"miss")

    async def _get(self, place: tuple[str, str]) -> Kept | None:
        try:
            text = await self._look(place)
        except UnavailableError:
            self._count("error")
            return None
        if text is None:
            self._count("miss")
            return None
        until, body = from_json(text)
        fresh = until > time.time()
        self._count("hit" if fresh else "stale")
        return Kept(body.encode(), fresh)

    async def _put(self, place: tuple[str, str], body: bytes, life: float) -> None:
        user, field = place
        text = to_json([time.time() + life, body.decode()]).decode()
        with suppress(UnavailableError):
            # Counted and logged by the store; the answer itself is fine.
            await answers.keep(self._store, user, field, text, int(self._seconds * STALE_LIVES * 1000))

    async def _look_all(self, places: Sequence[tuple[str, str]]) -> Sequence[str | None]:
        async def read(redis: Redis) -> Sequence[str | None]:
            async with redis.pipeline(transaction=False) as pipeline:
                for user, field in places:
                    pipeline.hget(answers.key(user), field)
                found: list[str | None] = await pipeline.execute()
                return found

        return await self._store.ask(read)

    def _count(self, result: signals.CacheResult) -> None:
        signals.CACHE_REQUESTS.labels(self._route, result).inc()


async def drop(store: Store, user: str) -> None:
    """Forgets all that is kept of `user`."""
    with suppress(UnavailableError):
        await answers.drop(store, user)


def _reply(asked: Exchange, body: bytes, cached: bytes) -> Reply:
    """304 where the client has this answer already."""
    etag = f'"{_digest(body)}"'.encode()
    headers = [(b"cache-control", b"private, no-cache"), (b"etag", etag), (b"x-cache", cached), *told(asked)]
    if etag in asked.headers.get(b"if-none-match", b""):
        return Reply(304, b"", headers)
    return Reply(200, body, [(b"content-type", JSON), *headers])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
