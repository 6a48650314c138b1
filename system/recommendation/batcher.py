"""Requests that arrive while the model works are answered together by its next run.

No request waits for company while the model is idle, unless `max_wait` says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass
class _Waiting(Generic[Q, A]):
    query: Q
    answer: asyncio.Future[A]


class Batcher(Generic[Q, A]):
    """Runs `answer_all` in `executor`, one batch at a time.

    `max_batch` queries a run at most; `max_wait` in seconds is how long a first
    query waits for others. An error of a run is the error of each of its queries.
    """

    def __init__(
        self,
        answer_all: Callable[[Sequence[Q]], Sequence[A]],
        executor: Executor,
        *,
        max_batch: int,
        max_wait: float = 0.0,
    ) -> None:
        self._answer_all = answer_all
        self._executor = executor
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._waiting: list[_Waiting[Q, A]] = []
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, query: Q) -> A:
        waiting = _Waiting(query, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        answer: A = await waiting.answer
        return answer

    async def _work(self) -> None:
        if self._max_wait:
            await asyncio.sleep(self._max_wait)
        while self._waiting:
            batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
            wanted = [waiting for waiting in batch if not waiting.answer.done()]
            if wanted:
                await self._answer(wanted)

    async def _answer(self, batch: list[_Waiting[Q, A]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._executor, self._answer_all, [waiting.query for waiting in batch])
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            return
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)
