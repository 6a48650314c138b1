"""Questions that come while others are out go together with the next: a round trip, or a model's run, is shared.

No question waits for company while nothing is out, unless `wait` says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """`ask` answers each question of a list, in its order; one list at a time. What it raises, all of them get.

    `most` questions at once at most; `wait` in seconds is how long a first one waits for others.
    """

    def __init__(
        self, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], most: int = 128, wait: float = 0.0
    ) -> None:
        self._ask = ask
        self._most = most
        self._wait = wait
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self, question: Q) -> A:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            # The work of many belongs to none of them: neither its trace nor its deadline is inherited.
            self._asking = loop.create_task(self._ask_all(), context=Context())
        return await answer

    async def _ask_all(self) -> None:
        try:
            if self._wait:
                await asyncio.sleep(self._wait)
            out = self._next()
            while out:
                await asyncio.wait((out.asking,))
                # Before anybody hears of it: the next are out while they do.
                following = self._next()
                out.tell()
                out = following
        finally:
            self._asking = None

    def _next(self) -> _Out[A] | None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            # Done already: its caller hung up.
            if wanted := [pair for pair in batch if not pair[1].done()]:
                asking = self._ask([question for question, _ in wanted])
                return _Out(asyncio.ensure_future(asking), [waiting for _, waiting in wanted])
        return None


class _Out(Generic[A]):
    def __init__(self, asking: asyncio.Future[Sequence[A]], waiting: Sequence[asyncio.Future[A]]) -> None:
        self.asking = asking
        self._waiting = waiting

    def tell(self) -> None:
        try:
            answers = self.asking.result()
        except BaseException as error:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for waiting, answer in zip(self._waiting, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)
