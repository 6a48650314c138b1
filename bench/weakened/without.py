"""Runs a service without some of its guards: `without.py MODULE GUARD...`, as a compose file's `command`.

What no environment variable can take away is taken away here, in the process of that service alone.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

# Longer than any window of an experiment.
LONG_SECONDS = 60.0
NEVER = 10**9


def redis_timeout() -> None:
    """Redis is waited for, and asked again however often it did not answer."""
    from system.kit.store import Store

    Store.__init__.__kwdefaults__.update(timeout=LONG_SECONDS, failures=NEVER)  # type: ignore[attr-defined]


def database_timeout() -> None:
    """PostgreSQL is waited for."""
    from system.kit import database

    class Patient(database.AsyncConnectionPool[Any]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **{**named, "timeout": LONG_SECONDS})

    database.AsyncConnectionPool = Patient  # type: ignore[misc]
    database.transaction.__wrapped__.__defaults__ = (LONG_SECONDS,)  # type: ignore[attr-defined]


def cache_open() -> None:
    """An answer that cannot be looked up in the cache is an error."""
    from system.gateway.cache import Cache
    from system.kit.client import UnavailableError
    from system.kit.problem import ProblemError

    async def strict(self: Any, place: tuple[str, str]) -> None:
        try:
            await self._look(place)
        except UnavailableError as error:
            raise ProblemError(503, "the cache cannot be reached") from error

    Cache._get = strict  # type: ignore[method-assign, assignment]


def search_fallback() -> None:
    """A search that search-svc does not answer is an error."""
    from system.gateway.searching import Searcher
    from system.kit.problem import ProblemError

    def nothing(*_: Any) -> None:
        raise ProblemError(503, "search cannot be reached")

    Searcher._instead = nothing  # type: ignore[method-assign, assignment]


def chat_ending() -> None:
    """A talk that chat-svc does not answer, or not to its end, stops where it is."""
    from system.gateway import conversation

    conversation._ending = lambda *_, **__: b""  # type: ignore[assignment]


def chat_refusal() -> None:
    """Talks are let through uncounted, whatever they cost."""
    from system.gateway import policies

    object.__setattr__(policies.CHAT, "limiter_gone", "admit")


def chat_patience() -> None:
    """A talk may last a second, where it may last a minute."""
    from system.gateway import policies

    object.__setattr__(policies.CHAT, "timeout", 1.0)


def model_fallback() -> None:
    """A talk whose model is gone ends without a word."""
    from system.chat.conversation import Conversation, Delta

    whole = Conversation.answer

    async def cut(self: Any, session: str, message: str) -> AsyncIterator[Any]:
        async for event in whole(self, session, message):
            if isinstance(event, Delta) or event.source != "fallback":
                yield event

    Conversation.answer = cut  # type: ignore[method-assign, assignment]


def purchases_aside() -> None:
    """A recommendation waits for the store that purchases are noted in."""
    from system.kit.store import Store
    from system.recommendation.features import Features

    known, store = Features.known, Store("recommendation-svc->store", os.environ["STORE_URL"], timeout=LONG_SECONDS)

    async def waits(self: Any, asked: Any) -> Any:
        await store.ask(lambda redis: redis.ping())
        return await known(self, asked)

    Features.known = waits  # type: ignore[method-assign]


def outbox() -> None:
    """A purchase is made only where the broker is there."""
    import aio_pika

    from system.kit.database import DatabaseDownError
    from system.users import records

    buy = records.buy

    async def told(*arguments: Any) -> Any:
        try:
            async with await aio_pika.connect(os.environ["BROKER_URL"], timeout=1):
                return await buy(*arguments)
        except (OSError, aio_pika.exceptions.AMQPError) as error:
            raise DatabaseDownError(f"the broker: {error}") from error

    records.buy = told


def lasting_queue() -> None:
    """A consumer begins with an empty queue, as one does whose queue goes with it."""
    from system.kit.broker import Link

    consume = Link.consume

    async def anew(self: Any, queue: str, *arguments: Any) -> None:
        await (await self.channel.declare_queue(queue, passive=True)).purge()
        await consume(self, queue, *arguments)

    Link.consume = anew  # type: ignore[method-assign, assignment]


def set_aside() -> None:
    """What cannot be read is dropped."""
    from system.kit.consumer import Consumer

    async def dropped(*_: Any) -> str:
        return "dead"

    Consumer._set_aside = dropped  # type: ignore[method-assign, assignment]


def held_content() -> None:
    """What nobody can judge is published."""
    from system.content.parts import Parts
    from system.kit.client import UnavailableError

    check = Parts.check

    async def trusting(*arguments: Any) -> Any:
        try:
            return await check(*arguments)
        except UnavailableError:
            return "allowed"

    Parts.check = trusting  # type: ignore[method-assign, assignment]


def compensation() -> None:
    """A text that failed stays in its writer's list."""
    from system.content.parts import Parts

    async def left(*_: Any) -> None:
        pass

    Parts.uncreate = left  # type: ignore[method-assign, assignment]


GUARDS: Mapping[str, Callable[[], None]] = {
    guard.__name__.replace("_", "-"): guard
    for guard in (
        redis_timeout,
        database_timeout,
        cache_open,
        search_fallback,
        chat_ending,
        chat_refusal,
        chat_patience,
        model_fallback,
        purchases_aside,
        outbox,
        lasting_queue,
        set_aside,
        held_content,
        compensation,
    )
}

if __name__ == "__main__":
    module, *names = sys.argv[1:]
    for name in names:
        GUARDS[name]()
    sys.argv[1:] = []
    runpy.run_module(module, run_name="__main__", alter_sys=True)
