"""moderation-svc between a real Redis and the emulator, which misbehave, die and come back. It fails closed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from servers import Server, Service, ServiceFactory, eventually

TOKEN = "an-admin-token"
EDGE = "moderation-svc->llm-emulator"
HARMLESS = "A quiet tent for two people, tested in the rain."


@pytest.fixture(scope="module")
def emulator(services: ServiceFactory) -> Service:
    return services("system.llm_emulator", ADMIN_TOKEN=TOKEN, LLM_FIRST_TOKEN_SECONDS="0.01", LLM_TOKEN_SECONDS="0.001")


@pytest.fixture(scope="module")
def moderation(services: ServiceFactory, emulator: Service, redis_server: Server) -> Service:
    return services(
        "system.moderation",
        STORE_URL=f"redis://127.0.0.1:{redis_server.port}/0",
        ANTHROPIC_BASE_URL=str(emulator.http.base_url),
        ANTHROPIC_API_KEY="k",
        BREAKER_RESET_SECONDS="0.3",
        LLM_SECONDS="1",
        LLM_ATTEMPT_SECONDS="0.5",
        WAITING_INTERVAL_SECONDS="0.05",
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


def check(moderation: Service, text: str, content: str = "c-1", **headers: str) -> dict[str, Any]:
    answer = moderation.http.post("/check", json={"contentId": content, "text": text}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def rule(moderation: Service, review: str, verdict: str, reviewer: str = "mo") -> Any:
    return moderation.http.post(f"/reviews/{review}/ruling", json={"verdict": verdict, "reviewer": reviewer})


@pytest.fixture(autouse=True)
def _model_there(moderation: Service, emulator: Service) -> None:
    """What one test broke is whole for the next."""
    eventually(lambda: check(moderation, HARMLESS, "probe")["source"] == "model", 10, "the model did not come back")


def test_a_harmless_text_is_allowed_by_the_model(moderation: Service) -> None:
    checked = check(moderation, HARMLESS)
    assert (checked["verdict"], checked["source"], checked["categories"]) == ("allowed", "model", [])
    assert checked["confidence"] == 0.93


def test_a_harmful_text_is_refused_by_the_model(moderation: Service) -> None:
    checked = check(moderation, "They planned a massacre, in detail.")
    assert (checked["verdict"], checked["source"], checked["categories"]) == ("refused", "model", ["violence"])


def test_the_block_list_needs_no_model_and_tells_no_phrase(moderation: Service, emulator: Service) -> None:
    with fault(emulator, "overloaded"):
        checked = check(moderation, "You should k1ll y.o.u.r.s.e.l.f")
    assert (checked["verdict"], checked["source"]) == ("refused", "block-list")
    assert checked["reason"] == "Content failed safety check"


def test_what_the_model_is_not_sure_of_is_held(moderation: Service) -> None:
    checked = check(moderation, "Use poison against rats.")
    assert (checked["verdict"], checked["source"], checked["confidence"]) == ("held", "model", 0.55)
    assert "not sure" in checked["reason"]


@pytest.mark.parametrize(
    ("name", "attributes", "reason"),
    [
        ("overloaded", {}, "status"),
        ("rate-limit", {"retry_after": 60}, "status"),
        ("slow-first-token", {"seconds": 30}, "timeout"),
        ("cut-stream", {"events": 0}, "connection"),
        ("malformed", {"after": 0}, "schema"),
    ],
)
def test_without_a_verdict_it_is_held_in_time(
    moderation: Service, emulator: Service, name: str, attributes: dict[str, Any], reason: str
) -> None:
    with fault(emulator, name, **attributes):
        started = time.monotonic()
        checked = check(moderation, HARMLESS, name)
    assert time.monotonic() - started < 2
    assert (checked["verdict"], checked["source"], checked["confidence"]) == ("held", "nobody", None)
    assert checked["reason"] == f"the model gave no verdict: {reason}"
    assert moderation.http.get(f"/reviews/{checked['reviewId']}").json()["contentId"] == name


def test_a_dead_model_is_spared_and_everything_is_held(moderation: Service, emulator: Service) -> None:
    emulator.stop(signal.SIGKILL)
    try:
        for _ in range(4):
            held = check(moderation, HARMLESS, "dead")
            assert held["verdict"] == "held"
        assert held["reason"] == "the model gave no verdict: open"
        assert moderation.metric("circuit_breaker_state", edge=EDGE) == 2
        assert (moderation.metric("fallback_total", edge=EDGE, reason="open") or 0) >= 1
    finally:
        emulator.start()


def test_what_is_held_waits_for_a_person_whose_word_counts(moderation: Service, emulator: Service) -> None:
    before = moderation.http.get("/reviews?limit=100").json()["waiting"]
    with fault(emulator, "overloaded"):
        held = check(moderation, HARMLESS, "waits", **{"x-user-id": "user-7"})
        again = check(moderation, HARMLESS, "waits")
        other = check(moderation, HARMLESS + "!", "waits")
    assert again["reviewId"] == held["reviewId"] != other["reviewId"]
    listed = moderation.http.get("/reviews?limit=100").json()
    assert listed["waiting"] == before + 2
    assert [each["contentId"] for each in listed["reviews"]][-2:] == ["waits", "waits"]
    found = next(each for each in listed["reviews"] if each["id"] == held["reviewId"])
    assert (found["text"], found["userId"], found["ruling"]) == (HARMLESS, "user-7", None)
    eventually(lambda: moderation.metric("reviews_waiting") == before + 2, 2, "nobody sees that something waits")

    ruled = rule(moderation, held["reviewId"], "allowed")
    assert ruled.status_code == 200
    assert ruled.json()["ruling"]["reviewer"] == "mo"
    assert rule(moderation, other["reviewId"], "refused").status_code == 200
    assert moderation.http.get("/reviews").json()["waiting"] == before
    assert check(moderation, HARMLESS, "waits") == {
        "contentId": "waits",
        "verdict": "allowed",
        "source": "reviewer",
        "categories": [],
        "reason": "released after review",
        "confidence": None,
        "reviewId": held["reviewId"],
    }
    assert check(moderation, HARMLESS + "!", "waits")["verdict"] == "refused"


def test_the_first_ruling_counts(moderation: Service) -> None:
    held = check(moderation, "Use poison against mice.", "twice")
    assert rule(moderation, held["reviewId"], "refused").status_code == 200
    assert rule(moderation, held["reviewId"], "refused", "lou").json()["ruling"]["reviewer"] == "mo"
    conflict = rule(moderation, held["reviewId"], "allowed", "lou")
    assert conflict.status_code == 409
    assert conflict.json()["review"]["ruling"]["verdict"] == "refused"
    assert check(moderation, "Use poison against mice.", "twice")["verdict"] == "refused"


def test_without_a_store_nothing_is_allowed(moderation: Service, redis_server: Server) -> None:
    redis_server.send(signal.SIGSTOP)
    try:
        answer = moderation.http.post("/check", json={"contentId": "c", "text": HARMLESS})
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"
        assert check(moderation, "kill yourself")["verdict"] == "refused"
        assert moderation.http.get("/readyz").status_code == 200
    finally:
        redis_server.send(signal.SIGCONT)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contentId": "c"},
        {"contentId": "", "text": "x"},
        {"contentId": "c", "text": ""},
        {"contentId": "c", "text": "x" * 100_001},
        {"contentId": "c\n", "text": "x"},
        {"contentId": "c", "text": "x", "verdict": "allowed"},
    ],
)
def test_bad_input_is_a_problem_document(moderation: Service, body: object) -> None:
    answer = moderation.http.post("/check", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_not_there_cannot_be_ruled_on(moderation: Service) -> None:
    assert rule(moderation, "0" * 32, "allowed").status_code == 404
    assert rule(moderation, "../x", "allowed").status_code == 404
    assert rule(moderation, "0" * 32, "held").status_code == 422


def test_a_wrong_block_list_ends_the_start_with_its_problems(
    services: ServiceFactory, tmp_path: Any, redis_server: Server
) -> None:
    path = tmp_path / "list.txt"
    path.write_text("fraude: x\n")
    wrong = services(
        "system.moderation", wait=False, BLOCK_LIST=str(path), STORE_URL="redis://127.0.0.1:1/0", ANTHROPIC_API_KEY="k"
    )
    assert wrong.process
    assert wrong.process.wait(20) == 1
    assert f"{path}:1: 'fraude' is no category" in wrong.log.read_text()
