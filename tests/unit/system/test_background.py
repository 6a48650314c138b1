"""Work beside requests ends with its block, also where it loses a cancellation, and tells where it fails."""

from __future__ import annotations

import asyncio

import pytest

from system.kit import background, telemetry


async def _loses(times: int) -> None:
    while times >= 0:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_ends_with_the_block_however_often_a_cancellation_is_lost(times: int) -> None:
    async with asyncio.timeout(10):
        async with background.running(_loses(times)):
            await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _fails() -> None:
    raise ValueError("the shelf is full")


async def test_what_fails_is_told_at_once_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.setup("test", "INFO")
    went_on = asyncio.Event()

    async def other() -> None:
        await asyncio.sleep(0.01)
        went_on.set()

    async with background.running(_fails(), other()), asyncio.timeout(5):
        await went_on.wait()
    said = "".join(capsys.readouterr())
    assert '"event":"unhandled_error"' in said
    assert "the shelf is full" in said
