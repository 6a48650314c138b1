"""chat-svc between a real Redis and the emulator, which misbehave, die and come back."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from servers import Server, Service, ServiceFactory, eventually
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

TOKEN = "an-admin-token"
EDGE = "chat-svc->llm-emulator"
FALLBACK = "I cannot answer at the moment. Please try again in a minute."
Events = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def emulator(services: ServiceFactory) -> Service:
    return services("system.llm_emulator", ADMIN_TOKEN=TOKEN, LLM_FIRST_TOKEN_SECONDS="0.01", LLM_TOKEN_SECONDS="0.001")


@pytest.fixture(scope="module")
def chat(services: ServiceFactory, emulator: Service, redis_server: Server) -> Service:
    return services(
        "system.chat",
        STORE_URL=f"redis://127.0.0.1:{redis_server.port}/0",
        ANTHROPIC_BASE_URL=str(emulator.http.base_url),
        ANTHROPIC_API_KEY="k",
        BREAKER_RESET_SECONDS="0.3",
        CHAT_FIRST_SECONDS="1",
        CHAT_BETWEEN_SECONDS="1",
    )


@contextmanager
def fault(emulator: Service, name: str, **attributes: object) -> Iterator[None]:
    headers = {"authorization": f"Bearer {TOKEN}"}
    wanted = {"name": name, "attributes": attributes, "ttl": 30}
    added = emulator.http.post("/admin/faults", json=wanted, headers=headers)
    assert added.status_code == 201, added.text
    try:
        yield
    finally:
        emulator.http.delete(f"/admin/faults/{added.json()['id']}", headers=headers)


def say(chat: Service, message: str, session: str = "s1", **headers: str) -> Events:
    answer = chat.http.post("/chat", json={"message": message, "sessionId": session}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return parse(answer.text)


def parse(text: str) -> Events:
    """Every event is whole, and the last is `done`."""
    events = []
    for part in text.removesuffix("\n\n").split("\n\n"):
        name, data = part.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    assert [name for name, _ in events[:-1]] == ["delta"] * (len(events) - 1)
    assert events[-1][0] == "done"
    return events


def text_of(events: Events) -> str:
    return "".join(data["text"] for name, data in events if name == "delta")


@pytest.fixture(autouse=True)
def _breaker_closed(chat: Service, emulator: Service) -> None:
    """What one test broke is whole for the next."""

    def answers() -> bool:
        return say(chat, "Are you there?", "probe")[-1][1]["source"] == "model"

    eventually(answers, 10, "the model did not come back")


def test_an_answer_comes_in_events_and_ends_with_its_usage(chat: Service) -> None:
    events = say(chat, "Which tent should I buy?")
    done = events[-1][1]
    assert len(events) > 5
    assert "tent" in text_of(events)
    assert (done["sessionId"], done["source"], done["stop_reason"]) == ("s1", "model", "end_turn")
    assert done["usage"]["input_tokens"] > 0
    assert done["usage"]["output_tokens"] > 5


def test_the_first_event_comes_before_the_last_token(chat: Service) -> None:
    with chat.http.stream("POST", "/chat", json={"message": "Tell me about boots"}) as answer:
        chunks = answer.iter_raw()
        first = next(chunks)
        assert first.startswith(b"event: delta")
        assert b"event: done" not in first
        assert b"event: done" in b"".join(chunks)


def test_who_accepts_json_gets_one_document(chat: Service) -> None:
    answer = chat.http.post("/chat", json={"message": "Which tent?"}, headers={"accept": "application/json"})
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert set(body) == {"text", "sessionId", "source", "usage", "stop_reason"}
    assert body["source"] == "model"


def test_a_session_is_remembered_and_expires(chat: Service, redis_server: Server) -> None:
    first = say(chat, "Which tent?", "remembered")[-1][1]["usage"]["input_tokens"]
    second = say(chat, "Which tent?", "remembered")[-1][1]["usage"]["input_tokens"]
    assert second > first + 10, "the model did not hear the first turn"
    with redis.Redis(port=redis_server.port, db=0) as store:
        assert store.llen("chat:remembered") == 4
        assert 0 < store.ttl("chat:remembered") <= 24 * 3600


def test_a_session_is_forgotten_on_demand_also_twice(chat: Service, redis_server: Server) -> None:
    say(chat, "Which tent?", "forgotten")
    for _ in range(2):
        assert chat.http.delete("/chat/sessions/forgotten").status_code == 204
    with redis.Redis(port=redis_server.port, db=0) as store:
        assert store.llen("chat:forgotten") == 0


def test_without_a_session_a_new_one_is_named(chat: Service) -> None:
    sessions = {parse(chat.http.post("/chat", json={"message": "hello"}).text)[-1][1]["sessionId"] for _ in range(2)}
    assert len(sessions) == 2


@pytest.mark.parametrize(
    "body",
    [{}, {"message": ""}, {"message": "x" * 8001}, {"message": "x", "sessionId": "a b"}, {"message": "x", "y": 1}],
)
def test_bad_input_is_a_problem_document(chat: Service, body: object) -> None:
    answer = chat.http.post("/chat", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["overloaded", "rate-limit"])
def test_a_model_that_refuses_ends_in_the_fallback(chat: Service, emulator: Service, name: str) -> None:
    with fault(emulator, name, retry_after=0):
        events = say(chat, "Which tent?")
    assert text_of(events) == FALLBACK
    assert events[-1][1]["source"] == "fallback"


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(chat: Service, emulator: Service) -> None:
    with fault(emulator, "rate-limit", retry_after=60):
        started = time.monotonic()
        events = say(chat, "Which tent?")
    assert events[-1][1]["source"] == "fallback"
    assert time.monotonic() - started < 2


def test_a_model_that_keeps_silent_is_left(chat: Service, emulator: Service) -> None:
    with fault(emulator, "slow-first-token", seconds=30):
        started = time.monotonic()
        events = say(chat, "Which tent?")
    assert events[-1][1]["source"] == "fallback"
    assert 0.9 < time.monotonic() - started < 3


def test_the_callers_deadline_is_kept(chat: Service, emulator: Service) -> None:
    with fault(emulator, "slow-first-token", seconds=30):
        started = time.monotonic()
        events = say(chat, "Which tent?", **{"x-timeout-ms": "500"})
    assert events[-1][1]["source"] == "fallback"
    assert time.monotonic() - started < 0.5


@pytest.mark.parametrize("name", ["cut-stream", "malformed"])
def test_a_stream_that_breaks_ends_well(chat: Service, emulator: Service, name: str) -> None:
    with fault(emulator, name):
        events = say(chat, "Which tent?", "broken")
    assert text_of(events)
    assert (events[-1][1]["source"], events[-1][1]["stop_reason"]) == ("model", "cut")


def test_a_model_that_is_gone_is_answered_for_and_then_spared(chat: Service, emulator: Service) -> None:
    before = chat.metric("fallback_total", edge=EDGE, reason="open") or 0
    emulator.stop(signal.SIGKILL)
    try:
        for _ in range(3):
            assert say(chat, "Which tent?")[-1][1]["source"] == "fallback"
        started = time.monotonic()
        assert text_of(say(chat, "Which tent?")) == FALLBACK
        assert time.monotonic() - started < 0.25
        assert chat.metric("circuit_breaker_state", edge=EDGE) == 2
        assert (chat.metric("fallback_total", edge=EDGE, reason="open") or 0) > before
    finally:
        emulator.start()


def test_a_model_that_stands_still_is_left(chat: Service, emulator: Service) -> None:
    emulator.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert say(chat, "Which tent?")[-1][1]["source"] == "fallback"
        assert time.monotonic() - started < 3
    finally:
        emulator.send(signal.SIGCONT)


def test_who_hangs_up_ends_the_work_at_the_provider(chat: Service, emulator: Service) -> None:
    def cut_off() -> float:
        return sum(
            emulator.metric("http_server_request_duration_seconds_count", route="/v1/messages", method="POST", status=s)
            or 0
            for s in ("200", "499")
        )

    with fault(emulator, "token-burn", factor=900):
        before = cut_off()
        with chat.http.stream("POST", "/chat", json={"message": "Which tent?"}) as answer:
            next(answer.iter_raw())
        eventually(lambda: cut_off() > before, 3, "the provider still works for nobody")


def test_without_a_store_it_still_answers(chat: Service, redis_server: Server) -> None:
    redis_server.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert say(chat, "Which tent?")[-1][1]["source"] == "model"
        assert time.monotonic() - started < 2
    finally:
        redis_server.send(signal.SIGCONT)


def test_tokens_and_cost_are_measured(chat: Service) -> None:
    model = "claude-haiku-4-5"
    assert (chat.metric("gen_ai_cost_usd_total", gen_ai_request_model=model) or 0) > 0
    for kind in ("input", "output"):
        labels = {"gen_ai_request_model": model, "gen_ai_token_type": kind}
        assert (chat.metric("gen_ai_client_token_usage_count", **labels) or 0) > 0
    assert (chat.metric("ai_inference_duration_seconds_count", model=model, service="chat-svc") or 0) > 0


@contextmanager
def socket(chat: Service) -> Iterator[Any]:
    with connect(f"ws://127.0.0.1:{chat.port}/chat/ws", proxy=None) as connection:
        yield connection


def answer(connection: Any) -> Events:
    events: Events = []
    while not events or events[-1][0] != "done":
        event = json.loads(connection.recv(timeout=5))
        events.append((event.pop("type"), event))
    return events


def test_over_a_websocket_a_conversation_goes_on(chat: Service) -> None:
    with socket(chat) as connection:
        connection.send(json.dumps({"message": "Which tent?"}))
        first = answer(connection)
        assert "tent" in text_of(first)
        connection.send(json.dumps({"message": "And which boots?"}))
        second = answer(connection)
    assert first[-1][1]["sessionId"] == second[-1][1]["sessionId"]
    assert second[-1][1]["usage"]["input_tokens"] > first[-1][1]["usage"]["input_tokens"] + 10


def test_messages_sent_at_once_are_answered_one_after_the_other(chat: Service) -> None:
    with socket(chat) as connection:
        for topic in ("tents", "boots"):
            connection.send(json.dumps({"message": f"Tell me about {topic}"}))
        assert "tents" in text_of(answer(connection))
        assert "boots" in text_of(answer(connection))


@pytest.mark.parametrize("frame", ["{", "[]", '{"message": ""}', '{"message": "x", "y": 1}', b"\x00\x01"])
def test_a_frame_that_cannot_be_read_closes_with_its_reason(chat: Service, frame: Any) -> None:
    with socket(chat) as connection:
        connection.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=5)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 1007
    assert closed.value.rcvd.reason


def test_over_a_websocket_the_fallback_answers_too(chat: Service, emulator: Service) -> None:
    with fault(emulator, "overloaded"), socket(chat) as connection:
        connection.send(json.dumps({"message": "Which tent?"}))
        assert answer(connection)[-1][1]["source"] == "fallback"


def test_who_leaves_a_websocket_ends_the_work_at_the_provider(chat: Service, emulator: Service) -> None:
    labels = {"route": "/v1/messages", "method": "POST", "status": "200"}
    with fault(emulator, "token-burn", factor=900):
        before = emulator.metric("http_server_request_duration_seconds_count", **labels) or 0
        with socket(chat) as connection:
            connection.send(json.dumps({"message": "Which tent?"}))
            connection.recv(timeout=5)

        def ended() -> bool:
            return (emulator.metric("http_server_request_duration_seconds_count", **labels) or 0) > before

        eventually(ended, 3, "the provider still works for nobody")
