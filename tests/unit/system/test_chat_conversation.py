"""One answer of a conversation, with a language model that does as it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from told import Told

from system.chat.conversation import CUT, FALLBACK, FALLBACK_TEXT, Conversation, Delta, Done, Patience
from system.chat.provider import End, Turn
from system.kit import deadline, signals
from system.kit.breaker import CircuitBreaker, Consecutive, State
from system.kit.client import UnavailableError
from system.kit.llm import ProviderError, Usage
from system.kit.meter import Meter

EDGE = "chat-svc->test"
END = End("end_turn", Usage(10, 5))
BUSY = ProviderError("status", "529 overloaded_error")


@dataclass
class Script:
    """Each attempt plays the next list: text, an end, an error to raise, or seconds to be silent for."""

    attempts: list[list[Any]]
    asked: list[list[Turn]] = field(default_factory=list)
    closed: int = 0
    name: str = "script"

    async def stream(self, turns: Sequence[Turn]) -> AsyncGenerator[str | End, None]:
        self.asked.append(list(turns))
        try:
            for step in self.attempts[min(len(self.asked), len(self.attempts)) - 1]:
                if isinstance(step, ProviderError):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed += 1


class Memory:
    """Sessions without a store; `gone` makes it behave as if there were none any more."""

    def __init__(self) -> None:
        self.all: dict[str, list[Turn]] = {}
        self.gone = False

    async def turns(self, session: str) -> list[Turn]:
        if self.gone:
            raise UnavailableError("chat-svc->store", "connection")
        return self.all.get(session, [])

    async def add(self, session: str, turns: Sequence[Turn]) -> None:
        if self.gone:
            raise UnavailableError("chat-svc->store", "connection")
        self.all.setdefault(session, []).extend(turns)


@pytest.fixture(autouse=True)
def _no_deadline() -> None:
    deadline.clear()


def conversation(
    model: Script,
    memory: Memory | None = None,
    breaker: CircuitBreaker | None = None,
    decisions: Told | None = None,
    **patience: float,
) -> Conversation:
    return Conversation(
        model,
        memory or Memory(),  # type: ignore[arg-type]
        breaker or CircuitBreaker(EDGE, Consecutive(3), 30),
        Meter(EDGE, model.name, 1.0, 5.0),
        Patience(**{"total": 5, "first": 1, "between": 1, "retries": 2, "backoff": 0.001} | patience),  # type: ignore[arg-type]
        decisions=decisions or Told(),  # type: ignore[arg-type]
    )


async def told(talk: Conversation, message: str = "hello") -> list[Delta | Done]:
    return [event async for event in talk.answer("s1", message)]


FELL_BACK = [Delta(FALLBACK_TEXT), Done("s1", "fallback", FALLBACK)]


async def test_an_answer_comes_in_pieces_and_ends_with_its_usage() -> None:
    model = Script([["Hel", "lo.", END]])
    assert await told(conversation(model)) == [
        Delta("Hel"),
        Delta("lo."),
        Done("s1", "model", "end_turn", Usage(10, 5)),
    ]


async def test_the_model_hears_what_was_said_before() -> None:
    model, memory = Script([["Hi.", END]]), Memory()
    talk = conversation(model, memory)
    await told(talk, "first")
    await told(talk, "second")
    assert model.asked[1] == [Turn("user", "first"), Turn("assistant", "Hi."), Turn("user", "second")]


async def test_it_is_remembered_before_the_end_is_told() -> None:
    memory = Memory()
    async for event in conversation(Script([["Hi.", END]]), memory).answer("s1", "hello"):
        if isinstance(event, Done):
            assert memory.all["s1"] == [Turn("user", "hello"), Turn("assistant", "Hi.")]


async def test_without_a_store_it_answers_without_a_memory() -> None:
    memory = Memory()
    memory.gone = True
    assert (await told(conversation(Script([["Hi.", END]]), memory)))[-1] == Done("s1", "model", "end_turn", END.usage)


async def test_a_busy_model_is_asked_again() -> None:
    model = Script([[BUSY], [BUSY], ["Hi.", END]])
    assert (await told(conversation(model)))[0] == Delta("Hi.")
    assert len(model.asked) == 3


async def test_after_the_last_attempt_it_falls_back_and_forgets() -> None:
    model, memory = Script([[BUSY]]), Memory()
    assert await told(conversation(model, memory)) == FELL_BACK
    assert len(model.asked) == 3
    assert memory.all == {}


async def test_it_waits_as_long_as_the_provider_says() -> None:
    model = Script([[ProviderError("status", "429", retry_after=0.05)], ["Hi.", END]])
    started = time.monotonic()
    await told(conversation(model))
    assert time.monotonic() - started >= 0.05


async def test_it_does_not_wait_beyond_its_deadline() -> None:
    model = Script([[ProviderError("status", "429", retry_after=30)], ["Hi.", END]])
    async with asyncio.timeout(1):
        assert await told(conversation(model, total=1)) == FELL_BACK
    assert len(model.asked) == 1


async def test_the_callers_deadline_counts() -> None:
    deadline.within(0.25)
    async with asyncio.timeout(1):
        assert await told(conversation(Script([[60.0]]))) == FELL_BACK


async def test_what_will_not_pass_is_not_tried_again() -> None:
    model = Script([[ProviderError("status", "401", passing=False)]])
    assert await told(conversation(model)) == FELL_BACK
    assert len(model.asked) == 1


async def test_a_silent_model_is_left() -> None:
    model = Script([[60.0, "late", END]])
    async with asyncio.timeout(1):
        assert await told(conversation(model, first=0.02)) == FELL_BACK
    assert model.closed == len(model.asked) == 1


async def test_a_stream_that_stalls_ends_as_cut() -> None:
    memory = Memory()
    async with asyncio.timeout(1):
        events = await told(conversation(Script([["Hel", 60.0]]), memory, between=0.02))
    assert events == [Delta("Hel"), Done("s1", "model", CUT)]
    assert memory.all == {}


@pytest.mark.parametrize("last", [ProviderError("connection", "reset"), "lo."])
async def test_a_stream_that_is_cut_ends_well_and_is_not_tried_again(last: Any) -> None:
    model = Script([["Hel", last]])
    events = await told(conversation(model))
    assert events[0] == Delta("Hel")
    assert events[-1] == Done("s1", "model", CUT)
    assert len(model.asked) == 1


async def test_after_three_failed_exchanges_the_model_is_spared() -> None:
    model, breaker = Script([[BUSY]]), CircuitBreaker(EDGE, Consecutive(3), 30)
    talk = conversation(model, breaker=breaker, retries=0)
    for _ in range(3):
        assert await told(talk) == FELL_BACK
    assert breaker.state is State.OPEN
    assert await told(talk) == FELL_BACK
    assert len(model.asked) == 3


async def test_the_retries_of_one_exchange_are_one_failure() -> None:
    breaker = CircuitBreaker(EDGE, Consecutive(2), 30)
    await told(conversation(Script([[BUSY]]), breaker=breaker))
    assert breaker.state is State.CLOSED


async def test_a_rate_limit_says_that_the_model_is_there() -> None:
    breaker = CircuitBreaker(EDGE, Consecutive(1), 30)
    await told(conversation(Script([[ProviderError("status", "429", alive=True)]]), breaker=breaker))
    assert breaker.state is State.CLOSED


async def test_who_hangs_up_ends_the_models_work() -> None:
    model = Script([["Hel", 60.0]])
    answer = conversation(model).answer("s1", "hello")
    assert await anext(answer) == Delta("Hel")
    await answer.aclose()
    assert model.closed == 1


async def test_who_hangs_up_while_the_model_thinks_frees_the_probe() -> None:
    breaker = CircuitBreaker(EDGE, Consecutive(1), 0.0)
    talk = conversation(Script([[BUSY], [60.0], ["Hi.", END]]), breaker=breaker, retries=0)
    await told(talk)
    probe = asyncio.create_task(told(talk))
    async with asyncio.timeout(1):
        while breaker.state is not State.HALF_OPEN:
            await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert (await told(talk))[0] == Delta("Hi.")


@pytest.mark.parametrize(
    ("steps", "stop_reason", "confidence"),
    [
        (["Hi.", END], "end_turn", 1.0),
        (["Hi.", End("max_tokens", Usage(10, 5))], "max_tokens", 0.5),
        (["Hi.", ProviderError("connection", "reset")], CUT, 0.5),
        ([BUSY], FALLBACK, None),
    ],
)
async def test_an_answer_is_told_to_the_audit_trail_without_its_text(
    steps: list[Any], stop_reason: str, confidence: float | None
) -> None:
    decisions = Told()
    await told(conversation(Script([steps]), decisions=decisions))
    (decision,) = decisions.all
    assert decision["type"] == "CHAT_ANSWER_GENERATED"
    assert decision["model"] == (FALLBACK if confidence is None else "script")
    assert (decision["output"]["stopReason"], decision["confidence"]) == (stop_reason, confidence)
    assert decision["input"] == {"sessionId": "s1", "characters": len("hello")}
    assert decision["output"]["characters"] == len("Hi." if confidence else FALLBACK_TEXT)
    assert "Hi." not in str(decision)
    assert "hello" not in str(decision)


async def test_what_was_said_before_somebody_left_is_told_too() -> None:
    decisions = Told()
    answer = conversation(Script([["Hel", 60.0]]), decisions=decisions).answer("s1", "hello")
    await anext(answer)
    assert decisions.all == [], "the answer is not over"
    await answer.aclose()
    (decision,) = decisions.all
    assert (decision["output"]["stopReason"], decision["confidence"]) == ("left", 0.5)
    assert decision["output"]["characters"] == len("Hel")


async def test_tokens_cost_and_fallbacks_are_counted() -> None:
    def value(metric: Any, *labels: str) -> float:
        return float(metric.labels(*labels)._value.get())

    cost, fallbacks = value(signals.GEN_AI_COST, "script"), value(signals.FALLBACK, EDGE, "status")
    await told(conversation(Script([["Hi.", END]])))
    await told(conversation(Script([[BUSY]])))
    assert value(signals.GEN_AI_COST, "script") - cost == pytest.approx((10 * 1.0 + 5 * 5.0) / 1e6)
    assert value(signals.FALLBACK, EDGE, "status") - fallbacks == 1
