"""search-svc's parts without any server: fusion, the guard, the catalogue, and what happens as each part is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from system.kit import deadline
from system.kit.breaker import CircuitBreaker, Consecutive, State
from system.kit.client import UnavailableError
from system.recommendation import purchases
from system.search import catalogue, embedder_build, fusion
from system.search.embedder import Embedder
from system.search.embedding import EDGE, Embedding
from system.search.guard import Guard
from system.search.models import Item
from system.search.searcher import agreement


@pytest.fixture(autouse=True)
def _no_deadline() -> Iterator[None]:
    deadline.clear()
    yield
    deadline.clear()


# Reciprocal rank fusion.


def test_scores_are_those_of_the_paper() -> None:
    scores = fusion.fuse([["a", "b"], ["b", "c"]])
    assert scores == {"b": 1 / 62 + 1 / 61, "a": 1 / 61, "c": 1 / 62}
    assert list(scores) == ["b", "a", "c"]


def test_what_two_rankings_know_beats_what_one_likes_best() -> None:
    assert next(iter(fusion.fuse([["x", "p", "q", "both"], ["y", "r", "s", "both"]]))) == "both"


def test_of_equals_the_first_seen_stays_first() -> None:
    assert list(fusion.fuse([["near"], ["word"]])) == ["near", "word"]


def test_one_ranking_stays_as_it_is() -> None:
    assert list(fusion.fuse([[], ["c", "a", "b"]])) == ["c", "a", "b"]
    assert fusion.fuse([[], []]) == {}


# How sure a ranking is.


def items(*ids: str) -> list[Item]:
    return [Item(id=id_, title=id_, score=1) for id_ in ids]


def test_a_ranking_is_as_sure_as_words_and_meaning_agree() -> None:
    assert agreement(items("a", "b", "c", "d"), ["a", "b", "x"], ["b", "c", "a"]) == 0.5
    assert agreement(items("a"), ["a"], ["a"]) == 1
    assert agreement(items("a"), [], ["a"]) == 0


def test_where_words_alone_decided_or_nothing_was_found_nobody_is_sure() -> None:
    assert agreement(items("a"), ["a"], None) is None
    assert agreement([], [], ["a"]) is None


# The catalogue.


def test_the_items_are_those_that_are_bought() -> None:
    bought = purchases.generate(1)
    assert [item.id for item in catalogue.items()] == list(bought.item_ids)
    assert [item.title for item in catalogue.items()] == list(bought.titles)


# The guard.


def guard(failures: int = 3, seconds: float = 0.05, reset: float = 60.0) -> Guard:
    return Guard(CircuitBreaker(EDGE, Consecutive(failures), reset, listeners=()), seconds)


async def reason(of: Guard, work: Any) -> str:
    with pytest.raises(UnavailableError) as caught:
        await of.ask(work)
    return caught.value.reason


def raising(error: BaseException) -> Any:
    async def work() -> None:
        raise error

    return work


async def answering() -> str:
    return "answer"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("no"), "status"),
        (ConnectionRefusedError(), "connection"),
        (TimeoutError(), "timeout"),
        (UnavailableError(EDGE, "schema"), "schema"),
    ],
)
async def test_whatever_goes_wrong_is_unavailability(error: Exception, expected: str) -> None:
    assert await reason(guard(), raising(error)) == expected


async def test_what_takes_too_long_is_given_up() -> None:
    assert await reason(guard(), lambda: asyncio.sleep(30)) == "timeout"


async def test_a_caller_who_waits_less_is_told_sooner() -> None:
    deadline.within(0.02)
    started = time.monotonic()
    assert await reason(guard(seconds=10), lambda: asyncio.sleep(30)) == "timeout"
    assert time.monotonic() - started < 5


async def test_after_failures_in_a_row_it_is_left_alone_and_then_tried_again() -> None:
    guarded = guard(failures=2, reset=0.05)
    for _ in range(2):
        await reason(guarded, raising(RuntimeError()))
    assert await reason(guarded, answering) == "open"
    async with asyncio.timeout(5):
        while True:
            try:
                assert await guarded.ask(answering) == "answer"
                return
            except UnavailableError:
                await asyncio.sleep(0.01)


async def test_a_caller_who_hangs_up_says_nothing_about_the_provider() -> None:
    breaker = CircuitBreaker(EDGE, Consecutive(1), 60, listeners=())
    task = asyncio.create_task(Guard(breaker, 10).ask(lambda: asyncio.sleep(30)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert breaker.state is State.CLOSED


# The embedder in service.


class Fake:
    """An embedder that does as it is told."""

    version = "fake-1"

    def __init__(self) -> None:
        self.fail = False
        self.wait: threading.Event | None = None

    def embed(self, _text: str) -> np.ndarray:
        if self.wait:
            self.wait.wait(10)
        if self.fail:
            raise RuntimeError("the runtime broke")
        return np.ones(3, np.float32)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr("system.search.embedder.load", lambda directory: made)
    return made


async def test_without_a_model_it_says_so(tmp_path: Path) -> None:
    embedding = Embedding(tmp_path / "none", guard())
    await embedding.refresh()
    assert embedding.version is None
    with pytest.raises(UnavailableError, match="no model"):
        await embedding.embed("x")


async def test_an_inference_that_fails_is_unavailability(fake: Fake) -> None:
    embedding = Embedding(Path(), guard())
    await embedding.refresh()
    assert (await embedding.embed("x")).shape == (3,)
    fake.fail = True
    with pytest.raises(UnavailableError, match="the runtime broke"):
        await embedding.embed("x")


async def test_a_stuck_inference_costs_a_few_callers_their_time_and_then_nobody(fake: Fake) -> None:
    embedding = Embedding(Path(), guard(failures=2))
    await embedding.refresh()
    fake.wait = threading.Event()
    reasons = []
    for _ in range(3):
        with pytest.raises(UnavailableError) as caught:
            await embedding.embed("x")
        reasons.append(caught.value.reason)
    fake.wait.set()
    assert reasons == ["timeout", "timeout", "open"]


async def test_the_real_model_is_taken_into_service() -> None:
    embedding = Embedding(embedder_build.DEFAULT_DIRECTORY, guard(seconds=10))
    await embedding.refresh()
    loaded = embedding._embedder
    assert isinstance(loaded, Embedder)
    await embedding.refresh()
    assert embedding._embedder is loaded, "it was loaded twice"
    embedding.close()
