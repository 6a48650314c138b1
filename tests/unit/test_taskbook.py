"""The book of tasks asks a store that was late once more, and one that is gone no second time."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from system.gateway.taskbook import TaskBook
from system.kit import signals
from system.kit.client import UnavailableError


class Store:
    """Fails for each of `reasons`, one after another, and answers from then on that it knows nothing."""

    edge = "api-gateway->store"

    def __init__(self, *reasons: signals.FallbackReason) -> None:
        self.reasons = list(reasons)
        self.asked = 0

    async def ask(self, _: Callable[[Redis], Awaitable[Any]]) -> dict[str, str]:
        self.asked += 1
        if self.reasons:
            raise UnavailableError(self.edge, self.reasons.pop(0))
        return {}


async def test_an_answer_that_was_late_is_asked_for_once_more_and_counted() -> None:
    before = signals.EDGE_RETRIES.labels(Store.edge)._value.get()
    store = Store("timeout")
    assert await TaskBook(store, 60).find(uuid.uuid4()) is None  # type: ignore[arg-type]
    assert (store.asked, signals.EDGE_RETRIES.labels(Store.edge)._value.get() - before) == (2, 1)


@pytest.mark.parametrize(("reasons", "asked"), [(("connection",), 1), (("open",), 1), (("timeout", "timeout"), 2)])
async def test_a_store_that_is_gone_is_told_at_once(reasons: tuple[signals.FallbackReason, ...], asked: int) -> None:
    store = Store(*reasons)
    with pytest.raises(UnavailableError):
        await TaskBook(store, 60).find(uuid.uuid4())  # type: ignore[arg-type]
    assert store.asked == asked
