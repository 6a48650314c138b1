"""Questions that share a round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from system.kit.together import Together

WHOSE = ContextVar("WHOSE", default="nobody")


class Asked:
    """Answers with the double, as soon as it may."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may = asyncio.Event()
        self.error: Exception | None = None
        self.whose: list[str] = []

    async def __call__(self, questions: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(questions))
        self.whose.append(WHOSE.get())
        await self.may.wait()
        if self.error:
            raise self.error
        return [2 * question for question in questions]


@pytest.fixture
async def asked() -> Asked:
    return Asked()


async def started(together: Together[int, int], *questions: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(together(question)) for question in questions]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_while_one_is_out_goes_together(asked: Asked) -> None:
    together = Together(asked)
    first = await started(together, 1)
    rest = await started(together, 2, 3, 4)
    asked.may.set()
    assert await asyncio.gather(*first, *rest) == [2, 4, 6, 8]
    assert asked.batches == [[1], [2, 3, 4]]


async def test_no_more_than_may_go_at_once(asked: Asked) -> None:
    together = Together(asked, most=2)
    tasks = await started(together, 1, 2, 3, 4, 5)
    asked.may.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert asked.batches == [[1, 2], [3, 4], [5]]


async def test_all_of_a_batch_hear_that_it_failed_and_the_next_is_asked_anew(asked: Asked) -> None:
    together = Together(asked)
    asked.error = ConnectionError("gone")
    tasks = await started(together, 1, 2)
    asked.may.set()
    assert [str(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == ["gone", "gone"]
    asked.error = None
    assert await together(3) == 6


async def test_who_gave_up_is_not_asked_for_and_spoils_nothing(asked: Asked) -> None:
    together = Together(asked)
    first, second, third = await started(together, 1), await started(together, 2), await started(together, 3)
    first[0].cancel()
    second[0].cancel()
    await asyncio.sleep(0)
    asked.may.set()
    assert await third[0] == 6
    assert asked.batches == [[1], [3]]


async def test_the_next_are_out_before_anybody_hears_of_the_last(asked: Asked) -> None:
    together = Together(asked, most=1)
    first = asyncio.create_task(together(1))
    out = []
    first.add_done_callback(lambda _: out.extend(asked.batches))
    await started(together, 2)
    asked.may.set()
    await first
    await asyncio.sleep(0)
    assert out == [[1], [2]]


async def test_with_a_wait_a_first_question_gathers_others(asked: Asked) -> None:
    asked.may.set()
    together = Together(asked, wait=0.01)
    first = await started(together, 1)
    assert await asyncio.gather(*first, together(2)) == [2, 4]
    assert asked.batches == [[1, 2]]


async def test_the_work_of_many_is_nobodys(asked: Asked) -> None:
    WHOSE.set("mine")
    asked.may.set()
    await Together(asked)(1)
    assert asked.whose == ["nobody"]
