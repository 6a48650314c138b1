"""What the emulator accepts, answers and refuses, without a server."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from system.llm_emulator import events, tokens
from system.llm_emulator.errors import STATUS, ApiError
from system.llm_emulator.example import example
from system.llm_emulator.faults import FAULTS, Cut, Faults
from system.llm_emulator.latency import Latency
from system.llm_emulator.limits import Limits
from system.llm_emulator.protocol import Prompt, Request, check_headers, parse
from system.llm_emulator.reply import Reply, compose

WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
        "required": ["city"],
    },
}


def request(**changes: Any) -> Request:
    body = {
        "model": "claude-haiku-4-5",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "How do I pitch a tent in the rain?"}],
    }
    return parse(Request, json.dumps(body | changes).encode())


def refusal(**changes: Any) -> ApiError:
    with pytest.raises(ApiError) as raised:
        request(**changes)
    return raised.value


def streamed(reply: Reply) -> list[dict[str, Any]]:
    return [
        *events.opening(reply, "claude-x"),
        *(event for event, _ in events.deltas(reply)),
        *events.closing(reply),
    ]


def test_the_same_question_gets_the_same_answer_however_it_is_asked() -> None:
    answer = compose(request())
    assert answer.text == compose(request(stream=True)).text
    assert answer.text.startswith(compose(request(max_tokens=5)).text)
    assert answer.text != compose(request(messages=[{"role": "user", "content": "And in the snow?"}])).text


def test_tokens_join_to_the_text_again() -> None:
    for text in ("Plain words, 1234567 and so on.\n\n  Indented — ünïcödé 日本語!", "", " ", "a_b"):
        assert "".join(tokens.split(text)) == text


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"max_tokens": None}, "invalid_request_error", "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "invalid_request_error", "max_tokens: "),
        ({"messages": []}, "invalid_request_error", "messages: "),
        ({"messages": [{"role": "system", "content": "x"}]}, "invalid_request_error", "messages.0.role: "),
        ({"messages": [{"role": "user", "content": ""}]}, "invalid_request_error", "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "invalid_request_error", "messages.0"),
        ({"colour": "red"}, "invalid_request_error", "colour: Extra inputs are not permitted"),
        ({"temperature": 2}, "invalid_request_error", "temperature: "),
        ({"model": "gpt-9"}, "not_found_error", "model: gpt-9"),
        ({"tool_choice": {"type": "any"}}, "invalid_request_error", "tool_choice: "),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "invalid_request_error", "Tool 'x'"),
    ],
)
def test_what_is_wrong_is_refused_in_the_providers_words(changes: dict[str, Any], kind: str, words: str) -> None:
    error = refusal(**changes)
    assert error.kind == kind
    assert error.message.startswith(words)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ApiError, match="max_tokens: Field required"):
        parse(Request, b'{"model": "claude-x", "messages": [{"role": "user", "content": "x"}]}')


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        parse(Request, body)
    assert raised.value.status == 400


def test_a_beta_caller_may_send_what_is_not_emulated() -> None:
    body = b'{"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "billing": 1}'
    assert parse(Request, body, beta=True)
    with pytest.raises(ApiError, match="billing"):
        parse(Request, body)


def test_a_thread_is_refused_as_the_sdk_expects() -> None:
    body = refusal(thread={"type": "create"}).body("req_1")
    assert body["error"]["details"]["error_code"] == "thread_unsupported_request"


def test_a_tool_use_without_its_result_is_refused() -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    asked = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": "well?"},
    ]
    assert "toolu_1" in refusal(messages=asked, tools=[WEATHER]).message


def test_headers_that_the_provider_demands() -> None:
    version = {"anthropic-version": "2023-06-01"}
    assert check_headers({"x-api-key": "k", **version}) == "k"
    assert check_headers({"authorization": "Bearer t", **version}) == "t"
    with pytest.raises(ApiError) as no_key:
        check_headers(version)
    assert no_key.value.status == 401
    with pytest.raises(ApiError) as no_version:
        check_headers({"x-api-key": "k"})
    assert no_version.value.status == 400


def test_stop_reasons() -> None:
    whole = compose(request())
    assert (whole.stop_reason, whole.stop_sequence) == ("end_turn", None)
    cut = compose(request(max_tokens=3))
    assert (cut.stop_reason, cut.output_tokens, len(cut.pieces)) == ("max_tokens", 3, 3)
    first, second = whole.text.split()[4:6]
    stopped = compose(request(stop_sequences=[second, first]))
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", first)
    assert first not in stopped.text
    assert whole.text.startswith(stopped.text)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}, {"type": "auto"}])
def test_a_tool_is_called_with_an_input_that_fits_its_schema(choice: dict[str, str]) -> None:
    question = [{"role": "user", "content": "What is the weather in Zurich?"}]
    reply = compose(request(messages=question, tools=[WEATHER], tool_choice=choice))
    assert (reply.kind, reply.stop_reason, reply.tool_name) == ("tool_use", "tool_use", "get_weather")
    jsonschema.validate(json.loads(reply.text), WEATHER["input_schema"])


def test_auto_calls_no_tool_that_was_not_asked_for() -> None:
    assert compose(request(tools=[WEATHER])).kind == "text"
    assert compose(request(tools=[WEATHER], tool_choice={"type": "none"})).kind == "text"


def test_after_its_result_the_tool_is_not_called_again() -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Zurich"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "snow, -3 C"}
    asked = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    reply = compose(request(messages=asked, tools=[WEATHER]))
    assert (reply.kind, reply.stop_reason) == ("text", "end_turn")
    assert "snow, -3 C" in reply.text


def test_an_answer_follows_the_schema_that_was_asked_for() -> None:
    schema = {
        "type": "object",
        "properties": {"verdict": {"enum": ["allow", "block"]}, "score": {"type": "number", "maximum": 1}},
        "required": ["verdict", "score"],
        "additionalProperties": False,
    }
    reply = compose(request(output_config={"format": {"type": "json_schema", "schema": schema}}))
    jsonschema.validate(json.loads(reply.text), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 5}, "minItems": 2},
        {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        {"type": ["string", "null"]},
        {"const": 7},
        {
            "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
            "$ref": "#/$defs/node",
        },
    ],
)
def test_examples_fit_their_schema(schema: dict[str, Any]) -> None:
    for seed in range(10):
        jsonschema.validate(example(schema, random.Random(seed), ["word"]), schema)


def test_a_stream_has_the_providers_order() -> None:
    told = streamed(compose(request(stream=True)))
    kinds = [event["type"] for event in told]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert set(kinds[3:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    start, delta = told[0]["message"], told[-2]
    assert (start["content"], start["stop_reason"]) == ([], None)
    assert start["usage"]["input_tokens"] > 0
    assert delta["delta"]["stop_reason"] == "end_turn"
    assert delta["usage"]["output_tokens"] == compose(request()).output_tokens


def test_the_stream_and_the_message_say_the_same() -> None:
    reply = compose(request())
    text = "".join(event["delta"]["text"] for event in streamed(reply) if event["type"] == "content_block_delta")
    message = events.message(reply, "claude-x")
    assert message["content"] == [{"type": "text", "text": text}]
    assert message["usage"]["output_tokens"] == reply.output_tokens


def test_every_error_has_its_status_and_request_id() -> None:
    assert STATUS["overloaded_error"] == 529
    body = ApiError("rate_limit_error", "slow down").body("req_1")
    assert body == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
        "request_id": "req_1",
    }


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_limits_refuse_with_the_time_to_wait_and_refill_evenly() -> None:
    clock = Clock()
    limits = Limits(requests=2, tokens=1000, clock=clock)
    assert limits.admit("k", 10)["anthropic-ratelimit-requests-remaining"] == "1"
    limits.admit("k", 10)
    with pytest.raises(ApiError) as refused:
        limits.admit("k", 10)
    assert refused.value.status == 429
    assert refused.value.headers["retry-after"] == "30"
    assert limits.admit("other", 10)
    clock.now += 30
    assert limits.admit("k", 10)["anthropic-ratelimit-tokens-limit"] == "1000"


def test_limits_count_tokens_too() -> None:
    limits = Limits(requests=100, tokens=100, clock=Clock())
    limits.admit("k", 90)
    with pytest.raises(ApiError, match="100 tokens per minute"):
        limits.admit("k", 20)


def test_latency_is_the_same_for_the_same_seed_and_stays_within_its_jitter() -> None:
    latency = Latency(first_token=1.0, token=0.1, jitter=0.2)
    assert latency.of(1) == latency.of(1)
    assert all(0.8 <= latency.of(seed).first_token <= 1.2 for seed in range(100))
    assert Latency(1.0, 0.1).total(10) == pytest.approx(2.0)


def test_a_fault_ends_by_itself_and_counts_what_it_met() -> None:
    clock = Clock()
    faults = Faults(clock)
    added = faults.add("overloaded", {}, ttl=10)
    assert len(faults.touching()) == 1
    assert faults.told()[0]["met"] == 1
    clock.now += 10
    assert faults.touching() == []
    assert faults.told() == []
    assert faults.remove(added["id"]) is None


def test_a_removed_fault_tells_what_it_met_and_is_removed_once() -> None:
    faults = Faults(Clock())
    id_ = faults.add("token-burn", {"factor": 3}, ttl=10)["id"]
    faults.touching()
    removed = faults.remove(id_)
    assert removed
    assert removed["met"] == 1
    assert faults.remove(id_) is None


def test_toxicity_is_the_share_of_requests_that_are_touched() -> None:
    faults = Faults(Clock())
    faults.add("overloaded", {}, ttl=10, toxicity=0.5)
    touched = sum(bool(faults.touching()) for _ in range(1000))
    assert 400 < touched < 600


def test_unknown_faults_and_attributes_are_refused() -> None:
    faults = Faults(Clock())
    with pytest.raises(KeyError):
        faults.add("gremlins", {}, ttl=1)
    with pytest.raises(ValidationError):
        faults.add("overloaded", {"retry": 1}, ttl=1)


def test_what_each_fault_does() -> None:
    reply, latency, frame = compose(request()), Latency(1.0, 0.1), events.encode({"type": "ping"})
    for name, kind in (("overloaded", 529), ("rate-limit", 429)):
        with pytest.raises(ApiError) as raised:
            FAULTS[name]().admit()
        assert raised.value.status == kind
    assert FAULTS["slow-first-token"](seconds=3).latency(latency) == Latency(4.0, 0.1)  # type: ignore[call-arg]
    burnt = FAULTS["token-burn"](factor=2).reply(reply)  # type: ignore[call-arg]
    assert (burnt.text, burnt.output_tokens) == (reply.text * 2, reply.output_tokens * 2)
    assert FAULTS["cut-stream"]().frame(4, frame) == frame
    with pytest.raises(Cut):
        FAULTS["cut-stream"]().frame(5, frame)
    with pytest.raises(Cut):
        FAULTS["cut-stream"]().frame(0, b'{"type": "message"}')
    assert FAULTS["malformed"]().frame(3, frame) == frame
    for spoiled in (FAULTS["malformed"]().frame(4, frame), FAULTS["malformed"]().frame(0, b'{"type": "message"}')):
        with pytest.raises(ValueError, match="Expecting"):
            json.loads(spoiled.partition(b"data: ")[2] or spoiled)


def test_counting_needs_no_max_tokens() -> None:
    prompt = parse(Prompt, b'{"model": "claude-x", "messages": [{"role": "user", "content": "one two three"}]}')
    assert tokens.count_input([message.model_dump() for message in prompt.messages]) == 3 + tokens.PER_MESSAGE


HARM = {
    "type": "object",
    "properties": {
        "harmful": {"type": "boolean"},
        "categories": {"type": "array", "items": {"enum": ["violence", "illegal"], "type": "string"}},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "reason": {"type": "string"},
    },
    "required": ["harmful", "categories", "confidence", "reason"],
}


def asked_to_fill(schema: dict[str, Any], text: str) -> Any:
    tool = {"name": "fill", "input_schema": schema}
    said = [{"role": "user", "content": text}]
    filled = json.loads(
        compose(request(tools=[tool], tool_choice={"type": "tool", "name": "fill"}, messages=said)).text
    )
    jsonschema.validate(filled, schema)
    return filled


@pytest.mark.parametrize(
    ("text", "harmful", "categories", "confidence"),
    [
        ("A quiet tent for two.", False, [], 0.93),
        ("How they planned a massacre with a BOMB.", True, ["violence"], 0.97),
        ("Cocaine, and murder.", True, ["violence", "illegal"], 0.97),
        ("Use poison against rats.", True, ["violence"], 0.55),
        ("A lottery, you are the winner!", True, [], 0.55),
    ],
)
def test_harm_is_told_by_the_words_of_the_question(
    text: str, harmful: bool, categories: list[str], confidence: float
) -> None:
    filled = asked_to_fill(HARM, text)
    assert (filled["harmful"], filled["categories"], filled["confidence"]) == (harmful, categories, confidence)
    assert filled["reason"]


def test_a_summary_is_how_the_longest_text_begins() -> None:
    schema = {"type": "object", "properties": {"summary": {"type": "string"}}, "required": ["summary"]}
    document = "Tents keep rain out. Some weigh little. Others last."
    summary = "Tents keep rain out. Some weigh little."
    assert asked_to_fill(schema, document) == {"summary": summary}
    assert asked_to_fill(schema, json.dumps({"title": "Tents", "body": document})) == {"summary": summary}


def test_of_another_type_a_name_means_nothing() -> None:
    schema = {"type": "object", "properties": {"harmful": {"enum": ["a", "b"]}, "summary": {"type": "integer"}}}
    filled = asked_to_fill(schema, "How they planned a massacre.")
    assert filled["harmful"] in ("a", "b")
    assert isinstance(filled["summary"], int)
