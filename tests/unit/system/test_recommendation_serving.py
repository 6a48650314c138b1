"""Batching, and which model serves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from system.recommendation import registry, train
from system.recommendation.batcher import Batcher
from system.recommendation.serving import Serving


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


class Doubler:
    """Doubles numbers; notes its batches; waits where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        assert self.go.wait(5)
        if 13 in numbers:
            raise ValueError("thirteen")
        return [2 * number for number in numbers]


async def test_a_lone_query_does_not_wait(executor: ThreadPoolExecutor) -> None:
    double = Doubler()
    assert await Batcher(double, executor, max_batch=8).ask(4) == 8
    assert double.batches == [[4]]


async def test_queries_that_arrive_during_a_run_share_the_next(executor: ThreadPoolExecutor) -> None:
    double = Doubler()
    batcher: Batcher[int, int] = Batcher(double, executor, max_batch=3)
    double.go.clear()
    first = asyncio.create_task(batcher.ask(0))
    async with asyncio.timeout(5):
        while not double.batches:
            await asyncio.sleep(0)
    rest = [asyncio.create_task(batcher.ask(number)) for number in range(1, 6)]
    await asyncio.sleep(0)
    double.go.set()
    assert await asyncio.gather(first, *rest) == [0, 2, 4, 6, 8, 10]
    assert double.batches == [[0], [1, 2, 3], [4, 5]]


async def test_with_a_wait_queries_gather(executor: ThreadPoolExecutor) -> None:
    double = Doubler()
    batcher: Batcher[int, int] = Batcher(double, executor, max_batch=8, max_wait=0.01)
    assert await asyncio.gather(*(batcher.ask(number) for number in range(4))) == [0, 2, 4, 6]
    assert double.batches == [[0, 1, 2, 3]]


async def test_an_error_is_the_error_of_its_batch_only(executor: ThreadPoolExecutor) -> None:
    batcher: Batcher[int, int] = Batcher(Doubler(), executor, max_batch=1)
    with pytest.raises(ValueError, match="thirteen"):
        await batcher.ask(13)
    assert await batcher.ask(1) == 2


async def test_a_query_whose_caller_left_is_not_answered(executor: ThreadPoolExecutor) -> None:
    double = Doubler()
    batcher: Batcher[int, int] = Batcher(double, executor, max_batch=8)
    double.go.clear()
    first = asyncio.create_task(batcher.ask(0))
    async with asyncio.timeout(5):
        while not double.batches:
            await asyncio.sleep(0)
    left = asyncio.create_task(batcher.ask(1))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.sleep(0)
    last = asyncio.create_task(batcher.ask(2))
    await asyncio.sleep(0)
    double.go.set()
    assert await asyncio.gather(first, last) == [0, 4]
    assert double.batches == [[0], [2]]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    train.train(tmp_path)
    return tmp_path


async def test_a_new_current_model_takes_over(models: Path) -> None:
    serving = Serving(models)
    newer = train.train(models, seed=7).version
    assert serving.model.version != newer
    assert await serving.refresh()
    assert serving.model.version == newer


async def test_a_corrupt_model_is_refused_and_the_old_one_serves_on(models: Path) -> None:
    serving = Serving(models)
    old = serving.model
    (models / old.version / "model.onnx").write_bytes(b"spoiled")
    assert not await serving.refresh()
    assert serving.model is old


async def test_a_registry_that_vanishes_does_not_end_the_service(models: Path) -> None:
    serving = Serving(models)
    (models / registry.CURRENT).unlink()
    assert not await serving.refresh()
    assert serving.model.history("user-0001")


async def test_nothing_is_loaded_again_while_nothing_changes(models: Path) -> None:
    assert not await Serving(models).refresh()
