"""A timeout that is fair to what it waits for."""

from __future__ import annotations

import asyncio
import time

import pytest

from system.kit.deadline import LATE_SECONDS, Timeout


async def test_ends_what_takes_too_long() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with Timeout(0.05):
            await asyncio.Event().wait()
    assert 0.05 <= time.monotonic() - started < 1


async def test_time_that_has_passed_already_is_no_time() -> None:
    with pytest.raises(TimeoutError):
        async with Timeout(-1):
            await asyncio.Event().wait()


async def test_leaves_alone_what_is_quick_and_what_comes_after() -> None:
    async with Timeout(0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


async def test_an_answer_that_came_while_the_process_stood_still_counts() -> None:
    """The answer takes some turns of the loop after it is there, as one that another thread hands over does."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def hand_over(turns: int) -> None:
        if turns:
            loop.call_soon(hand_over, turns - 1)
        else:
            answer.set_result("here")

    async with Timeout(0.05):
        loop.call_later(0.04, hand_over, 5)
        loop.call_soon(time.sleep, 0.05 + 2 * LATE_SECONDS)
        assert await answer == "here"


async def test_a_late_timer_still_ends_what_does_not_come() -> None:
    with pytest.raises(TimeoutError):
        async with Timeout(0.05):
            asyncio.get_running_loop().call_soon(time.sleep, 0.05 + 2 * LATE_SECONDS)
            await asyncio.Event().wait()


async def test_a_cancelled_caller_is_no_timeout() -> None:
    async def wait() -> None:
        async with Timeout(10):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
