"""A form that a language model fills: attempts, deadline, breaker, and what is no answer. The model is a script."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import pytest
from prometheus_client import REGISTRY
from pydantic import Field

from system.kit import deadline
from system.kit.client import RefusedError, UnavailableError
from system.kit.forms import TOOL, Filler, Form, FormSettings

EDGE = "test-svc->llm-emulator"


class Colour(Form):
    """A colour and how sure you are."""

    name: str
    sure: Annotated[float, Field(ge=0, le=1)]


def filled(given: object, **changes: object) -> httpx2.Response:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": given}],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    return httpx2.Response(200, json=message | changes)


def error(status: int, kind: str, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json={"type": "error", "error": {"type": kind, "message": "no"}}, headers=headers)


GOOD = filled({"name": "green", "sure": 0.9})
OVERLOADED = error(529, "overloaded_error")


class Script:
    """Plays its answers one after the other, the last for ever. A number is seconds of silence."""

    def __init__(self) -> None:
        self.answers: list[httpx2.Response | float] = []
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(json.loads(request.content))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return GOOD
        return answer


@pytest.fixture
def script() -> Script:
    deadline.clear()
    return Script()


@pytest.fixture
async def filler(script: Script) -> AsyncIterator[Filler]:
    settings = FormSettings(
        port=1,
        anthropic_api_key="k",
        anthropic_model="claude-test",
        llm_seconds=2,
        llm_attempt_seconds=0.2,
        llm_backoff_seconds=0.001,
        breaker_reset_seconds=0.1,
    )
    made = Filler(EDGE, settings, falls_back=False)
    inner = made._client
    made._client = inner.with_options(
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(script)),  # type: ignore[arg-type]
    )
    yield made
    await made.close()
    await inner.close()


async def fill(filler: Filler) -> Colour:
    return await filler.fill(Colour, instructions="Name it.", text="Grass")


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"edge": EDGE, **labels}) or 0.0


async def test_the_model_is_told_the_form_and_has_to_fill_it(filler: Filler, script: Script) -> None:
    script.answers = [GOOD]
    assert await fill(filler) == Colour(name="green", sure=0.9)
    (asked,) = script.asked
    assert asked["tool_choice"] == {"type": "tool", "name": TOOL, "disable_parallel_tool_use": True}
    assert asked["tools"][0]["description"] == "A colour and how sure you are."
    assert asked["tools"][0]["input_schema"]["properties"]["sure"]["maximum"] == 1
    assert (asked["system"], asked["messages"]) == ("Name it.", [{"role": "user", "content": "Grass"}])


@pytest.mark.parametrize(
    "first",
    [
        OVERLOADED,
        error(429, "rate_limit_error", **{"retry-after": "0"}),
        error(500, "api_error"),
        httpx2.Response(200, content=b"{{"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={}),
        filled(None),
        filled({"name": "green"}),
        filled({"name": "green", "sure": 7}),
        filled({"name": "green", "sure": 1, "more": 1}),
        filled({}, stop_reason="max_tokens"),
        filled({}, content=[{"type": "text", "text": "green"}], stop_reason="end_turn"),
        filled({}, content=[], stop_reason="refusal"),
        5.0,
    ],
    ids=str,
)
async def test_what_is_no_answer_is_asked_for_again(
    filler: Filler, script: Script, first: httpx2.Response | float
) -> None:
    script.answers = [first, GOOD]
    assert (await fill(filler)).name == "green"
    assert len(script.asked) == 2


async def test_what_never_fits_the_form_is_unavailable_for_its_schema(filler: Filler, script: Script) -> None:
    script.answers = [filled({"name": 3})]
    with pytest.raises(UnavailableError) as raised:
        await fill(filler)
    assert raised.value.reason == "schema"
    assert len(script.asked) == 3


async def test_who_is_refused_is_not_asked_again_and_opens_no_breaker(filler: Filler, script: Script) -> None:
    script.answers = [error(400, "invalid_request_error")]
    for _ in range(5):
        with pytest.raises(RefusedError):
            await fill(filler)
    assert len(script.asked) == 5


async def test_the_callers_deadline_is_kept(filler: Filler, script: Script) -> None:
    script.answers = [5.0]
    deadline.within(0.5)
    started = time.monotonic()
    with pytest.raises(UnavailableError) as raised:
        await fill(filler)
    assert raised.value.reason == "timeout"
    assert time.monotonic() - started < 0.5


async def test_a_retry_after_beyond_the_time_is_not_waited_for_but_told(filler: Filler, script: Script) -> None:
    script.answers = [error(429, "rate_limit_error", **{"retry-after": "60"})]
    started = time.monotonic()
    with pytest.raises(UnavailableError) as raised:
        await fill(filler)
    assert (raised.value.reason, raised.value.retry_after) == ("status", 60)
    assert time.monotonic() - started < 1


async def test_the_breaker_opens_after_three_answers_that_were_none_and_closes_again(
    filler: Filler, script: Script
) -> None:
    script.answers = [OVERLOADED]
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await fill(filler)
    assert counted("circuit_breaker_state") == 2
    before, failed = len(script.asked), counted("edge_requests_total", outcome="short_circuit")
    with pytest.raises(UnavailableError) as raised:
        await fill(filler)
    assert raised.value.reason == "open"
    assert len(script.asked) == before
    assert counted("edge_requests_total", outcome="short_circuit") == failed + 1
    script.answers = [GOOD]
    await asyncio.sleep(raised.value.retry_after)
    assert (await fill(filler)).name == "green"
    assert counted("circuit_breaker_state") == 0
