"""The book of tasks asks a store that was late once more, and one that is gone no second time."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Gone
from redis.exceptions import TimeoutError as Late

from system.gateway.taskbook import TaskBook
from system.kit import signals
from system.kit.client import UnavailableError
from system.kit.store import Store


class Redis:
    """Fails with each of `failures`, one after another, and answers from then on that it knows nothing."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked = 0

    async def hgetall(self, _: str) -> dict[str, str]:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return {}


def book(monkeypatch: pytest.MonkeyPatch, redis: Any, failures: int = 3) -> TaskBook:
    store = Store("test->store", "redis://127.0.0.1:1", failures=failures)
    monkeypatch.setattr(store, "_redis", redis)
    return TaskBook(store, 60)


async def test_an_answer_that_was_late_is_asked_for_once_more_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signals.EDGE_RETRIES.labels("test->store")._value.get()
    redis = Redis(Late())
    assert await book(monkeypatch, redis).find(uuid.uuid4()) is None
    assert (redis.asked, signals.EDGE_RETRIES.labels("test->store")._value.get() - before) == (2, 1)


@pytest.mark.parametrize(("failures", "asked"), [((Gone(),), 1), ((Late(), Late()), 2)])
async def test_a_store_that_is_gone_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, failures: tuple[Exception, ...], asked: int
) -> None:
    redis = Redis(*failures)
    with pytest.raises(UnavailableError):
        await book(monkeypatch, redis).find(uuid.uuid4())
    assert redis.asked == asked


async def test_an_open_breaker_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = Redis(Gone())
    tasks = book(monkeypatch, redis, failures=1)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await tasks.find(uuid.uuid4())
    assert redis.asked == 1
