"""Telling the audit trail: in the background, within bounds, and everything that became of it counted."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from pydantic import BaseModel

from system.kit import decisions, telemetry
from system.kit.client import UnavailableError
from system.kit.decisions import Decision, Decisions


class Broker:
    """Keeps what is published; `away`, it takes nothing; `slow`, it takes it and does not confirm."""

    def __init__(self) -> None:
        self.away = False
        self.slow = False
        self.error: Exception | None = None
        self.kept: list[tuple[Decision, Mapping[str, str]]] = []

    async def publish(
        self,
        event: str,
        body: BaseModel,
        *,
        message_id: UUID,
        headers: Mapping[str, str] | None = None,
        occurred: datetime | None = None,
    ) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError("test->rabbitmq", "connection")
        if self.error:
            raise self.error
        if self.slow:
            await asyncio.sleep(3600)
        assert isinstance(body, Decision)
        assert (event, message_id, occurred) == ("ai-decisions", body.id, body.timestamp)
        self.kept.append((body, headers or {}))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(decisions, "DRAIN_SECONDS", 0.05)


@pytest.fixture
def broker() -> Broker:
    return Broker()


def tell(to: Decisions, number: int = 0, **change: Any) -> None:
    told: dict[str, Any] = {"model": "ease", "input": {"number": number}, "output": {}, "confidence": 0.5}
    to.tell(decisions.RECOMMENDED, **{**told, **change})


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("decisions_total", {"outcome": outcome}) or 0.0


async def told(broker: Broker, count: int) -> None:
    async with asyncio.timeout(20):
        while len(broker.kept) < count:
            await asyncio.sleep(0.001)


def numbers(broker: Broker) -> list[Any]:
    return [decision.input["number"] for decision, _ in broker.kept]


async def test_a_decision_is_told_with_its_request_and_for_whom_it_was(broker: Broker) -> None:
    async with Decisions(broker) as to:
        telemetry.CORRELATION_ID.set("one")
        telemetry.USER_ID.set("ada")
        tell(to)
        telemetry.CORRELATION_ID.set("two")
        tell(to, user="bob")
        telemetry.USER_ID.set("")
        tell(to)
        await told(broker, 3)
    assert [(decision.userId, headers["x-correlation-id"]) for decision, headers in broker.kept] == [
        ("ada", "one"),
        ("bob", "two"),
        (None, "two"),
    ]


async def test_what_was_decided_while_the_broker_is_away_is_told_when_it_is_back(broker: Broker) -> None:
    broker.away = True
    async with Decisions(broker) as to:
        for number in range(200):
            tell(to, number)
        await asyncio.sleep(0.01)
        broker.away = False
        await told(broker, 200)
    assert sorted(numbers(broker)) == list(range(200))


async def test_a_broker_that_is_away_is_asked_by_one_at_a_time() -> None:
    class Counting(Broker):
        """How many were asking when each asked."""

        def __init__(self) -> None:
            super().__init__()
            self.asking: list[int] = []
            self.out = 0

        async def publish(self, event: str, body: BaseModel, **more: Any) -> None:
            self.out += 1
            self.asking.append(self.out)
            try:
                await super().publish(event, body, **more)
            finally:
                self.out -= 1

    broker = Counting()
    broker.away = True
    async with Decisions(broker) as to:
        for number in range(200):
            tell(to, number)
        async with asyncio.timeout(20):
            while len(broker.asking) < decisions.AT_ONCE + 10:
                await asyncio.sleep(0.001)
        assert set(broker.asking[decisions.AT_ONCE :]) == {1}
        broker.away = False
        await told(broker, 200)
    assert max(broker.asking[-100:]) == decisions.AT_ONCE, "back at work, it works as before"


async def test_who_has_much_to_do_tells_slowly_until_the_end(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = itertools.count(step=100)
    monkeypatch.setattr(decisions, "thread_time", lambda: next(busy))
    monkeypatch.setattr(decisions, "LONGEST_REST_SECONDS", 60)
    async with Decisions(broker) as to:
        for number in range(50):
            tell(to, number)
        await told(broker, decisions.AT_ONCE)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(broker.kept) == decisions.AT_ONCE
    assert len(broker.kept) == 50


async def test_beyond_its_bounds_it_drops_and_counts(broker: Broker) -> None:
    broker.away = True
    before = counted("full")
    async with Decisions(broker, capacity=10) as to:
        for number in range(15):
            tell(to, number)
        broker.away = False
        await told(broker, 10)
    assert sorted(numbers(broker)) == list(range(10))
    assert counted("full") - before == 5


async def test_what_cannot_be_told_is_counted_and_does_not_hold_up_the_rest(broker: Broker) -> None:
    before = counted("invalid")
    async with Decisions(broker) as to:
        tell(to, 1, confidence=2.0)
        tell(to, 2, output={"score": float("nan")})
        tell(to, 3, output={"what": object()})
        tell(to, 4)
        await told(broker, 1)
    assert numbers(broker) == [4]
    assert counted("invalid") - before == 3


async def test_an_error_that_nobody_expected_does_not_end_the_telling(broker: Broker) -> None:
    broker.error = RuntimeError("who knows")
    async with Decisions(broker) as to:
        tell(to, 1)
        await asyncio.sleep(0.01)
        broker.error = None
        await told(broker, 1)


async def test_one_that_fails_in_a_way_that_nobody_expected_does_not_hold_up_the_rest(broker: Broker) -> None:
    class Odd(Broker):
        async def publish(self, event: str, body: BaseModel, **more: Any) -> None:
            if isinstance(body, Decision) and body.input["number"] == 0:
                raise RuntimeError("who knows")
            await super().publish(event, body, **more)

    odd = Odd()
    async with Decisions(odd) as to:
        for number in range(40):
            tell(to, 0 if number < 20 else number)
        await told(odd, 20)
    assert sorted(numbers(odd)) == list(range(20, 40))


async def test_at_the_end_it_tells_what_waits(broker: Broker) -> None:
    async with Decisions(broker) as to:
        for number in range(200):
            tell(to, number)
    assert numbers(broker) == list(range(200))


@pytest.mark.parametrize("way", ["away", "slow"])
async def test_but_the_end_does_not_wait_for_ever(broker: Broker, way: str) -> None:
    setattr(broker, way, True)
    before = counted("stopped"), counted("published")
    started = time.monotonic()
    async with Decisions(broker) as to:
        for number in range(70):
            tell(to, number)
    assert time.monotonic() - started < 2
    assert (counted("stopped") - before[0], counted("published") - before[1]) == (70, 0)


async def test_without_a_broker_nothing_is_told_and_nothing_kept() -> None:
    async with Decisions(None, capacity=1) as to:
        before = counted("full")
        tell(to)
        tell(to)
    assert counted("full") == before
