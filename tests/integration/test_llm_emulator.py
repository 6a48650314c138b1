"""The official SDK, unchanged, on the emulator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest
from servers import Service, ServiceFactory

from gameday import contracts
from gameday.catalogue import Catalogue
from gameday.catalogue import Service as Described
from gameday.catalogue.model import Location
from gameday.faults import registry
from gameday.journal import Journal
from gameday.leases import LeaseKeeper
from gameday.runtime import Endpoint
from gameday.runtime.fake import FakeRuntime
from gameday.verdict import Verdict

ROOT = Path(__file__).parents[2]
MODEL = "claude-haiku-4-5"
QUESTION: list[Any] = [{"role": "user", "content": "How do I pitch a tent in the rain?"}]
TOKEN = "an-admin-token"
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
        "required": ["city", "unit"],
    },
}


@pytest.fixture(scope="module")
def emulator(services: ServiceFactory) -> Service:
    return services("system.llm_emulator", ADMIN_TOKEN=TOKEN, LLM_FIRST_TOKEN_SECONDS="0.01", LLM_JITTER="0")


@pytest.fixture(scope="module")
def client(emulator: Service) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=str(emulator.http.base_url), api_key="k", max_retries=0) as client:
        yield client


@contextmanager
def fault(emulator: Service, name: str, **attributes: object) -> Iterator[None]:
    """In force for the block; it must have been met."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    wanted = {"name": name, "attributes": attributes, "ttl": 30}
    added = emulator.http.post("/admin/faults", json=wanted, headers=headers)
    assert added.status_code == 201, added.text
    try:
        yield
    finally:
        removed = emulator.http.delete(f"/admin/faults/{added.json()['id']}", headers=headers).json()["removed"]
    assert removed["met"] > 0


def test_a_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=200, messages=QUESTION)
    [block] = message.content
    assert block.type == "text"
    assert "tent" in block.text
    assert (message.role, message.model, message.stop_reason) == ("assistant", MODEL, "end_turn")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 10


def test_a_stream_says_the_same_as_the_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=200, messages=QUESTION)
    with client.messages.stream(model=MODEL, max_tokens=200, messages=QUESTION) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == message.content[0].text
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", message.usage.output_tokens)
    assert final.id != message.id


def test_raw_events_come_in_the_documented_order(client: anthropic.Anthropic) -> None:
    events = [event.type for event in client.messages.create(
        model=MODEL, max_tokens=9, messages=QUESTION, stream=True
    )]  # fmt: skip
    assert events[:2] == ["message_start", "content_block_start"]
    assert events[2:-3] == ["content_block_delta"] * 3
    assert events[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_on_the_wire_each_event_is_named_and_a_ping_comes_third(emulator: Service) -> None:
    body = {"model": MODEL, "max_tokens": 5, "messages": QUESTION, "stream": True}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    answer = emulator.http.post("/v1/messages", json=body, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    for part in answer.text.strip().split("\n\n"):
        name, data = part.split("\n")
        assert f'"type": "{name.removeprefix("event: ")}"' in data


async def test_the_async_client_gets_the_same_message(client: anthropic.Anthropic, emulator: Service) -> None:
    asked: Any = {"model": MODEL, "max_tokens": 200, "messages": QUESTION}
    async with anthropic.AsyncAnthropic(base_url=str(emulator.http.base_url), api_key="k") as other:
        message = await other.messages.create(**asked)
        counted = await other.messages.count_tokens(model=MODEL, messages=asked["messages"])
    assert message.content == client.messages.create(**asked).content
    assert (message.stop_reason, message.usage.input_tokens) == ("end_turn", counted.input_tokens)


async def test_the_async_client_streams_too(emulator: Service) -> None:
    async with (
        anthropic.AsyncAnthropic(base_url=str(emulator.http.base_url), api_key="k") as client,
        client.messages.stream(model=MODEL, max_tokens=200, messages=QUESTION) as stream,
    ):
        pieces = [text async for text in stream.text_stream]
    assert len(pieces) > 3


async def test_many_streams_at_once_do_not_mix(emulator: Service) -> None:
    async with anthropic.AsyncAnthropic(base_url=str(emulator.http.base_url), api_key="k") as client:

        async def ask(topic: str) -> str:
            question: list[Any] = [{"role": "user", "content": f"Tell me about {topic}"}]
            async with client.messages.stream(model=MODEL, max_tokens=200, messages=question) as stream:
                return await stream.get_final_text()

        topics = [f"topic{letter}" for letter in "abcdefghijklmnopqrst"]
        for topic, text in zip(topics, await asyncio.gather(*map(ask, topics)), strict=True):
            assert topic in text
            assert not any(other in text for other in topics if other != topic)


def test_a_tool_is_called_and_its_result_is_answered(client: anthropic.Anthropic) -> None:
    question: list[Any] = [{"role": "user", "content": "What is the weather in Zurich?"}]
    with client.messages.stream(model=MODEL, max_tokens=200, messages=question, tools=[WEATHER]) as stream:
        message = stream.get_final_message()
    [use] = message.content
    assert (message.stop_reason, use.type, use.name) == ("tool_use", "tool_use", "get_weather")
    assert set(use.input) == {"city", "unit"}
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "snow"}
    turns: list[Any] = [
        *question,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(model=MODEL, max_tokens=200, messages=turns, tools=[WEATHER])
    assert "snow" in answer.content[0].text


def test_the_sdks_own_tool_runner_runs_to_the_end(client: anthropic.Anthropic) -> None:
    asked: list[str] = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Which city.
        """
        asked.append(city)
        return "sunshine"

    question: list[Any] = [{"role": "user", "content": "What is the weather in Zurich?"}]
    runner = client.beta.messages.tool_runner(model=MODEL, max_tokens=200, messages=question, tools=[get_weather])
    assert "sunshine" in runner.until_done().content[0].text
    assert len(asked) == 1


def test_tokens_are_counted_as_they_are_billed(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model=MODEL, messages=QUESTION, system="Be brief.").input_tokens
    billed = client.messages.create(model=MODEL, max_tokens=5, messages=QUESTION, system="Be brief.").usage
    assert counted == billed.input_tokens


def test_stop_reasons(client: anthropic.Anthropic) -> None:
    cut = client.messages.create(model=MODEL, max_tokens=3, messages=QUESTION)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)
    stopped = client.messages.create(model=MODEL, max_tokens=99, messages=QUESTION, stop_sequences=["tent"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "tent")


@pytest.mark.parametrize(
    ("changes", "error", "kind"),
    [
        ({"max_tokens": -1}, anthropic.BadRequestError, "invalid_request_error"),
        ({"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
        ({"model": "gpt-9"}, anthropic.NotFoundError, "not_found_error"),
        ({"extra_body": {"colour": "red"}}, anthropic.BadRequestError, "invalid_request_error"),
    ],
)
def test_errors_arrive_as_the_sdks_own(client: anthropic.Anthropic, changes: Any, error: Any, kind: str) -> None:
    with pytest.raises(error) as raised:
        client.messages.create(**({"model": MODEL, "max_tokens": 9, "messages": QUESTION} | changes))
    assert raised.value.type == kind
    assert raised.value.request_id.startswith("req_")
    assert raised.value.body["request_id"] == raised.value.request_id


def test_without_a_key_there_is_no_answer(emulator: Service) -> None:
    answer = emulator.http.post("/v1/messages", json={}, headers={"anthropic-version": "2023-06-01"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")


def test_an_unknown_path_is_the_providers_not_found(emulator: Service) -> None:
    answer = emulator.http.get("/v1/completions")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")


def test_every_answer_tells_its_limits(client: anthropic.Anthropic) -> None:
    raw = client.messages.with_raw_response.create(model=MODEL, max_tokens=5, messages=QUESTION)
    for name in ("requests-limit", "requests-remaining", "requests-reset", "tokens-remaining"):
        assert raw.headers[f"anthropic-ratelimit-{name}"]
    assert raw.headers["request-id"] == raw.parse()._request_id


def test_the_sdk_retries_as_it_is_told(emulator: Service, services: ServiceFactory) -> None:
    limited = services("system.llm_emulator", LLM_REQUESTS_PER_MINUTE="60", LLM_FIRST_TOKEN_SECONDS="0.001")
    with anthropic.Anthropic(base_url=str(limited.http.base_url), api_key="k", max_retries=3) as client:
        for _ in range(60):
            client.messages.count_tokens(model=MODEL, messages=QUESTION)
        # A busy machine asks so slowly that some of its sixty are renewed meanwhile.
        waits: list[float] = []
        while len(waits) < 200 and max(waits[60:], default=0.0) < 0.5:
            started = time.monotonic()
            client.messages.create(model=MODEL, max_tokens=1, messages=QUESTION)
            waits.append(time.monotonic() - started)

    assert max(waits[60:], default=0.0) >= 0.5, "there was nothing to wait for"


def test_overloaded(emulator: Service, client: anthropic.Anthropic) -> None:
    with fault(emulator, "overloaded"), pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(model=MODEL, max_tokens=5, messages=QUESTION)
    assert (raised.value.status_code, raised.value.type) == (529, "overloaded_error")


def test_rate_limit_says_when_to_come_back(emulator: Service, client: anthropic.Anthropic) -> None:
    with fault(emulator, "rate-limit", retry_after=7), pytest.raises(anthropic.RateLimitError) as raised:
        client.messages.create(model=MODEL, max_tokens=5, messages=QUESTION)
    assert raised.value.response.headers["retry-after"] == "7"


def test_a_slow_first_token(emulator: Service, client: anthropic.Anthropic) -> None:
    with fault(emulator, "slow-first-token", seconds=0.4):
        started = time.monotonic()
        with client.messages.stream(model=MODEL, max_tokens=5, messages=QUESTION) as stream:
            next(iter(stream.text_stream))
            assert time.monotonic() - started >= 0.4


def test_a_cut_stream_loses_its_end(emulator: Service, client: anthropic.Anthropic) -> None:
    heard = []
    with (
        fault(emulator, "cut-stream", events=5),
        pytest.raises(Exception, match="peer closed connection"),
        client.messages.stream(model=MODEL, max_tokens=99, messages=QUESTION) as stream,
    ):
        heard.extend(stream.text_stream)
    assert len(heard) == 2, "three events open a stream, two deltas follow"


def test_malformed_events_are_no_json(emulator: Service, client: anthropic.Anthropic) -> None:
    with (
        fault(emulator, "malformed"),
        pytest.raises(ValueError, match="Expecting"),
        client.messages.stream(model=MODEL, max_tokens=99, messages=QUESTION) as stream,
    ):
        list(stream.text_stream)


def test_burnt_tokens_are_billed(emulator: Service, client: anthropic.Anthropic) -> None:
    plain = client.messages.create(model=MODEL, max_tokens=99, messages=QUESTION).usage.output_tokens
    with fault(emulator, "token-burn", factor=3):
        assert client.messages.create(model=MODEL, max_tokens=99, messages=QUESTION).usage.output_tokens == 3 * plain


def test_the_admin_api_wants_its_token_and_a_loopback_name(emulator: Service, services: ServiceFactory) -> None:
    assert emulator.http.get("/admin/faults").status_code == 401
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert emulator.http.get("/admin/faults", headers=headers).json() == []
    assert emulator.http.get("/admin/faults", headers=headers | {"host": "evil.example:80"}).status_code == 403
    unknown = emulator.http.post("/admin/faults", json={"name": "gremlins"}, headers=headers)
    assert (unknown.status_code, unknown.headers["content-type"]) == (422, "application/problem+json")
    wrong = emulator.http.post("/admin/faults", json={"name": "overloaded", "attributes": {"x": 1}}, headers=headers)
    assert wrong.status_code == 422
    plain = services("system.llm_emulator")
    assert httpx.get(f"{plain.http.base_url}/admin/faults", trust_env=False).status_code == 404


@pytest.mark.parametrize(
    "name", ["overloaded", "rate-limit", "slow-first-token", "cut-stream", "malformed", "token-burn"]
)
async def test_a_fault_of_a_model_is_a_lease(
    emulator: Service, client: anthropic.Anthropic, tmp_path: Path, name: str
) -> None:
    where = Location(Path("compose.yml"), 1)
    described = Described("model", where, expose=(3009,), environment={"ADMIN_TOKEN": TOKEN})
    catalogue = Catalogue((where.file,), Path(), "test", {"model": described}, ())
    runtime = FakeRuntime(catalogue, tmp_path)
    runtime.endpoint = lambda service, port=None: Endpoint("127.0.0.1", emulator.port)  # type: ignore[method-assign]
    await runtime.start()
    journal = Journal(tmp_path / "leases.jsonl")
    keeper = LeaseKeeper(runtime, catalogue, journal)
    slow = {"seconds": 0.05} if name == "slow-first-token" else {}
    for met in (False, True):
        lease = await keeper.inject(name, "model", slow, 30.0, "a-run")
        assert (lease["state"], lease["exercised"]["holds"]) == ("in-force", False), lease
        if met:
            with suppress(anthropic.AnthropicError, ValueError):
                await asyncio.to_thread(client.messages.create, model=MODEL, max_tokens=50, messages=QUESTION)
        (undone,) = await keeper.undo(lease=lease["id"])
        assert (undone["state"], undone["exercised"]["holds"]) == ("undone", met), undone
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert emulator.http.get("/admin/faults", headers=headers).json() == []
    never = registry.FAULTS[name]("model", {})
    await never.undo(runtime)
    assert (await never.undone(runtime)).holds
    journal.close()


def test_what_is_agreed_of_the_model_can_be_held_to_whoever_speaks_its_protocol(emulator: Service) -> None:
    """As with the real provider: at an address, with a key, and no way into states."""
    promised = contracts.read_all(ROOT / "contracts/pacts")
    url = str(emulator.http.base_url).rstrip("/")
    key = {"authorization": "Bearer another"}
    results = list(contracts.verify_at("llm-emulator", url, key, promised))
    assert [(each.name, each.verdict) for each in results] == [
        ("ai-worker->llm-emulator", Verdict.CONFIRMED),
        ("chat-svc->llm-emulator", Verdict.CONFIRMED),
        ("moderation-svc->llm-emulator", Verdict.CONFIRMED),
    ]
    (refused, *_) = contracts.verify_at("llm-emulator", url, {"authorization": "Bearer "}, promised)
    assert refused.verdict is Verdict.REFUTED
