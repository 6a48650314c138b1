"""A task from the gateway to the worker and back, over a real RabbitMQ and Redis; and callbacks that nobody signed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from servers import Rabbit, Server, Service, ServiceFactory, eventually
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from test_gateway import Upstream, assert_problem, bearer, jwks, noted, token

from system.kit.webhook import ID, SIGNATURE, TIMESTAMP, Secrets

SECRET = "whsec_" + "YWFh" * 12
SECRETS = Secrets.read(SECRET)
TEXT = "Tents keep rain out. Some weigh little. Others last."
THEIRS = str(uuid.uuid4())
WITHIN = 20.0


async def document(request: Request) -> Response:
    upstream = await noted(request)
    if upstream.mode.isdigit():
        return JSONResponse({}, int(upstream.mode))
    owner = "somebody else" if request.path_params["id"] == THEIRS else "u1"
    return JSONResponse({"id": request.path_params["id"], "userId": owner, "title": "Tents", "text": TEXT})


@pytest.fixture(scope="module")
def content() -> Iterator[Upstream]:
    upstream = Upstream([Route("/internal/documents/{id}", document), Route("/.well-known/jwks.json", jwks)])
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def shared(content: Upstream, redis_server: Server, rabbit: Rabbit) -> dict[str, str]:
    return {"BROKER_URL": rabbit.url, "CONTENT_URL": content.url, "WEBHOOK_SECRET": SECRET}


@pytest.fixture(scope="module")
def gateway(services: ServiceFactory, content: Upstream, redis_server: Server, shared: dict[str, str]) -> Service:
    return services(
        "system.gateway",
        **shared,
        USER_URL=content.url,
        # Nobody is there, and no test here asks them.
        RECOMMENDATION_URL="http://127.0.0.1:1",
        CHAT_URL="http://127.0.0.1:1",
        CACHE_URL=f"redis://127.0.0.1:{redis_server.port}/0",
        STORE_URL=f"redis://127.0.0.1:{redis_server.port}/1",
        BREAKER_RESET_SECONDS="0.2",
        RATE_LIMIT_FACTOR="0",
    )


@pytest.fixture(scope="module")
def emulator(services: ServiceFactory) -> Service:
    return services("system.llm_emulator", LLM_FIRST_TOKEN_SECONDS="0.01", LLM_TOKEN_SECONDS="0.001")


@pytest.fixture(scope="module")
def worker(
    services: ServiceFactory, emulator: Service, gateway: Service, redis_server: Server, shared: dict[str, str]
) -> Service:
    return services(
        "system.ai_worker",
        **shared,
        STORE_URL=f"redis://127.0.0.1:{redis_server.port}/2",
        CALLBACK_URLS=f"api-gateway={gateway.http.base_url}",
        ANTHROPIC_BASE_URL=str(emulator.http.base_url),
        ANTHROPIC_API_KEY="k",
        BUS_RETRY_SECONDS="0.05",
        CALLBACK_WAIT_SECONDS="0.05",
        BREAKER_RESET_SECONDS="0.2",
    )


def ask(gateway: Service, document: str | None = None, user: str = "u1", **headers: str) -> httpx.Response:
    body = {"type": "generate-summary", "documentId": document or str(uuid.uuid4())}
    return gateway.http.post("/api/tasks", json=body, headers={**bearer(token(user)), **headers})


def taken(gateway: Service, **asked: Any) -> dict[str, Any]:
    """A task that was taken, as soon as the gateway has found the broker."""
    answers: list[httpx.Response] = []

    def there() -> bool:
        answers.append(ask(gateway, **asked))
        return answers[-1].status_code != 503

    eventually(there, WITHIN, "no task is taken")
    assert answers[-1].status_code == 202, answers[-1].text
    assert answers[-1].headers["location"] == f"/api/tasks/{answers[-1].json()['id']}"
    found: dict[str, Any] = answers[-1].json()
    return found


def show(gateway: Service, task: str, user: str = "u1") -> httpx.Response:
    return gateway.http.get(f"/api/tasks/{task}", headers=bearer(token(user)))


def heard(gateway: Service, outcome: str) -> float:
    return gateway.metric("webhooks_total", outcome=outcome) or 0.0


def outcome(task: str, summary: str = "Forged.") -> bytes:
    told = {"taskId": task, "documentId": str(uuid.uuid4()), "status": "succeeded", "summary": summary}
    return json.dumps({**told, "finishedAt": datetime.now(UTC).isoformat()}).encode()


def tell(gateway: Service, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return gateway.http.post("/webhook/summary", content=body, headers=headers)


def signed(task: str, body: bytes, age: float = 0.0) -> dict[str, str]:
    return SECRETS.sign(task, int(time.time() - age), body)


def test_a_summary_that_was_asked_for_is_shown_to_its_owner_alone(gateway: Service, worker: Service) -> None:
    wanted = str(uuid.uuid4())
    task = taken(gateway, document=wanted)
    assert (task["type"], task["documentId"], task["state"]) == ("generate-summary", wanted, "queued")
    eventually(lambda: show(gateway, task["id"]).json()["state"] == "succeeded", WITHIN, "no outcome was heard")
    shown = show(gateway, task["id"])
    assert shown.json()["summary"] == "Tents keep rain out. Some weigh little."
    assert shown.json()["finishedAt"] >= shown.json()["takenAt"]
    assert shown.headers["cache-control"] == "no-store"
    assert_problem(show(gateway, task["id"], "u2"), 404)
    assert_problem(show(gateway, str(uuid.uuid4())), 404)
    assert_problem(show(gateway, "x"), 404)
    assert_problem(gateway.http.get(f"/api/tasks/{task['id']}"), 401)


def test_the_same_key_is_the_same_task_and_done_once(gateway: Service, worker: Service) -> None:
    wanted, key = str(uuid.uuid4()), uuid.uuid4().hex
    before = heard(gateway, "accepted") + heard(gateway, "duplicate")
    ids = {taken(gateway, document=wanted, **{"idempotency-key": key})["id"] for _ in range(3)}
    assert len(ids) == 1
    eventually(lambda: show(gateway, *ids).json()["state"] == "succeeded", WITHIN, "no outcome was heard")
    again = taken(gateway, document=wanted, **{"idempotency-key": key})
    assert (again["id"], again["state"]) == (*ids, "succeeded")
    other = taken(gateway)
    eventually(lambda: show(gateway, other["id"]).json()["state"] == "succeeded", WITHIN, "no outcome was heard")
    assert heard(gateway, "accepted") + heard(gateway, "duplicate") == before + 2
    assert_problem(ask(gateway, **{"idempotency-key": key}), 422)
    assert_problem(ask(gateway, **{"idempotency-key": "a b"}), 422)
    # Somebody else's key is another one, and their document is not there for them.
    assert_problem(ask(gateway, document=wanted, user="u2", **{"idempotency-key": key}), 404)


def test_only_the_owner_of_a_document_has_it_summarised(gateway: Service, content: Upstream) -> None:
    assert_problem(ask(gateway, THEIRS), 404)
    content.mode = "404"
    assert_problem(ask(gateway), 404)
    content.mode = "503"
    refused = ask(gateway)
    content.mode = "well"
    assert_problem(refused, 503)
    assert refused.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "mine-bitcoin", "documentId": THEIRS},
        {"type": "generate-summary", "documentId": "x"},
        {"type": "generate-summary", "documentId": THEIRS, "callbackUrl": "http://169.254.169.254/"},
    ],
)
def test_what_cannot_be_asked_for_is_a_problem(gateway: Service, body: object) -> None:
    assert_problem(gateway.http.post("/api/tasks", json=body, headers=bearer()), 422)
    assert_problem(gateway.http.post("/api/tasks", json=body), 401)


def test_a_callback_that_nobody_signed_is_refused_and_counted(gateway: Service) -> None:
    task = taken(gateway)["id"]
    body = outcome(task)
    good = signed(task, body)
    stranger = Secrets.read("whsec_" + "YmJi" * 12).sign(task, int(time.time()), body)
    for headers, reason in (
        ({}, "missing"),
        ({name: value for name, value in good.items() if name != SIGNATURE}, "missing"),
        (stranger, "wrong"),
        (signed(task, body + b" "), "wrong"),
        ({**good, ID: str(uuid.uuid4())}, "wrong"),
        ({**good, TIMESTAMP: str(int(good[TIMESTAMP]) + 1)}, "wrong"),
        ({**good, TIMESTAMP: "soon"}, "malformed"),
        (signed(task, body, age=600), "old"),
        (signed(task, body, age=-600), "early"),
    ):
        before = heard(gateway, reason)
        refused = tell(gateway, body, headers)
        assert_problem(refused, 401)
        assert refused.json()["detail"] == f"the signature is {reason}"
        assert heard(gateway, reason) == before + 1
    assert show(gateway, task).json()["summary"] != "Forged."


def test_what_is_signed_and_makes_no_sense_is_a_problem(gateway: Service) -> None:
    task = taken(gateway)["id"]
    body = outcome(task)
    other = str(uuid.uuid4())
    assert_problem(tell(gateway, b"{", signed(task, b"{")), 422)
    assert_problem(tell(gateway, body, signed(other, body)), 422)
    unknown = outcome(other)
    assert_problem(tell(gateway, unknown, signed(other, unknown)), 404)


def test_an_outcome_is_heard_once(gateway: Service, worker: Service) -> None:
    task = taken(gateway)["id"]
    eventually(lambda: show(gateway, task).json()["state"] == "succeeded", WITHIN, "no outcome was heard")
    before, body = heard(gateway, "duplicate"), outcome(task, "Another one.")
    again = tell(gateway, body, signed(task, body))
    assert (again.status_code, again.content) == (204, b"")
    assert heard(gateway, "duplicate") == before + 1
    assert show(gateway, task).json()["summary"] == "Tents keep rain out. Some weigh little."


def test_the_routes_are_described(gateway: Service) -> None:
    paths = gateway.http.get("/openapi.json").json()["paths"]
    assert set(paths["/api/tasks"]["post"]["responses"]) == {"202", "default"}
    assert "content" not in paths["/webhook/summary"]["post"]["responses"]["204"]
    assert "security" not in paths["/webhook/summary"]["post"]


def test_a_wrong_secret_ends_the_start_and_is_not_told(services: ServiceFactory) -> None:
    told = dict.fromkeys(("USER_URL", "RECOMMENDATION_URL", "CHAT_URL", "CACHE_URL", "STORE_URL"), "redis://x")
    failed = services("system.gateway", wait=False, **told, WEBHOOK_SECRET="hunter2")
    assert failed.process
    assert failed.process.wait(20) == 1
    assert "WEBHOOK_SECRET secret 1 is no base64" in failed.log.read_text()
    assert "hunter2" not in failed.log.read_text()
