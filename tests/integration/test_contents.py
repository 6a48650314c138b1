"""Documents through the gateway, made by a content-svc that misbehaves on request."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from servers import Server, Service, ServiceFactory, eventually
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from test_gateway import RESET_SECONDS, Upstream, assert_problem, bearer, jwks, noted, token

ADA = str(uuid.uuid4())
DOCUMENT = str(uuid.uuid4())
CONTENT = {"id": DOCUMENT, "userId": ADA, "title": "Tents", "text": "Tents.", "createdAt": "2026-01-01T00:00:00Z"}
PUBLISHED = {"success": True, "id": DOCUMENT, "state": "published", "content": CONTENT}
UNSAFE = {"success": False, "id": DOCUMENT, "state": "compensating", "reason": "unsafe", "error": "Content failed"}
HELD = {"success": False, "id": DOCUMENT, "state": "held", "reason": "held", "error": "Content is held for review"}


async def content(request: Request) -> Response:
    upstream = await noted(request)
    if upstream.mode.isdigit():
        return JSONResponse({"title": "no"}, int(upstream.mode), media_type="application/problem+json")
    told: dict[str, tuple[Any, int]] = {"unsafe": (UNSAFE, 200), "held": (HELD, 202), "garbage": ({"ok": 1}, 200)}
    body, status = told.get(upstream.mode, (PUBLISHED, 201 if request.method == "POST" else 200))
    if request.method == "GET" and request.query_params["userId"] != ADA:
        return JSONResponse({"title": "no"}, 404, media_type="application/problem+json")
    return JSONResponse(body, status)


@pytest.fixture(scope="module")
def maker() -> Iterator[Upstream]:
    routes = [Route("/content", content, methods=["POST"]), Route("/content/{id}", content)]
    upstream = Upstream([*routes, Route("/.well-known/jwks.json", jwks)])
    upstream.start()
    yield upstream
    upstream.stop()


def settings(maker: Upstream, redis_server: Server) -> dict[str, str]:
    return {
        "USER_URL": maker.url,
        # Nobody is there, and no test here asks them.
        "RECOMMENDATION_URL": "http://127.0.0.1:1",
        "CHAT_URL": "http://127.0.0.1:1",
        "CACHE_URL": f"redis://127.0.0.1:{redis_server.port}/0",
        "STORE_URL": f"redis://127.0.0.1:{redis_server.port}/1",
        "BREAKER_RESET_SECONDS": str(RESET_SECONDS),
        "RATE_LIMIT_FACTOR": "0",
    }


@pytest.fixture(scope="module")
def running(services: ServiceFactory, maker: Upstream, redis_server: Server) -> Service:
    return services("system.gateway", CONTENT_URL=maker.url, **settings(maker, redis_server))


@pytest.fixture
def gateway(running: Service, maker: Upstream) -> Service:
    maker.mode = "well"
    eventually(lambda: create(running).status_code == 201, 10, "content-svc did not come back")
    maker.requests.clear()
    return running


def create(gateway: Service, user: str = ADA, body: object = None, **headers: str) -> httpx.Response:
    wanted = {"prompt": "Tell me about tents"} if body is None else body
    return gateway.http.post("/api/content", json=wanted, headers={**bearer(token(user)), **headers})


def show(gateway: Service, document: str = DOCUMENT, user: str = ADA) -> httpx.Response:
    return gateway.http.get(f"/api/content/{document}", headers=bearer(token(user)))


def test_who_wishes_for_a_document_is_told_what_became_of_it(gateway: Service, maker: Upstream) -> None:
    answer = create(gateway, **{"idempotency-key": "k-1", "x-correlation-id": "c-7"})
    assert (answer.status_code, answer.json()) == (201, PUBLISHED)
    ((path, headers, body),) = maker.requests
    assert (path, json.loads(body)) == ("/content", {"userId": ADA, "prompt": "Tell me about tents"})
    assert (headers["idempotency-key"], headers["x-correlation-id"], headers["x-user-id"]) == ("k-1", "c-7", ADA)
    for mode, (status, told) in {"unsafe": (200, UNSAFE), "held": (202, HELD)}.items():
        maker.mode = mode
        answer = create(gateway)
        assert (answer.status_code, answer.json()) == (status, told)


def test_it_is_shown_to_whoever_wished_for_it_and_to_nobody_else(gateway: Service, maker: Upstream) -> None:
    assert show(gateway).json() == PUBLISHED
    assert_problem_of_provider(show(gateway, user=str(uuid.uuid4())), 404)
    maker.requests.clear()
    for strange in ("x", f"{DOCUMENT}/x", "%2e%2e", f"{DOCUMENT}&userId={ADA}"):
        assert_problem(show(gateway, strange), 404)
    assert maker.requests == [], "it was asked for a path that somebody made up"


def assert_problem_of_provider(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("mode", ["503", "garbage"])
def test_without_an_answer_nothing_is_promised(gateway: Service, maker: Upstream, mode: str) -> None:
    maker.mode = mode
    assert_problem(create(gateway), 503)
    assert_problem(show(gateway), 503)


def test_what_content_svc_does_not_take_is_told_as_it_says_it(gateway: Service, maker: Upstream) -> None:
    maker.mode = "422"
    assert_problem_of_provider(create(gateway), 422)


@pytest.mark.parametrize(
    "body",
    [{}, {"prompt": ""}, {"prompt": "x" * 8001}, {"prompt": "x", "userId": ADA}, {"prompt": "x", "title": ""}, [], "x"],
)
def test_what_is_no_wish_is_a_problem_and_asks_nobody(gateway: Service, maker: Upstream, body: object) -> None:
    assert_problem(create(gateway, body=body), 422)
    assert maker.requests == []


def test_nobody_wishes_without_a_token(gateway: Service) -> None:
    assert_problem(gateway.http.post("/api/content", json={"prompt": "x"}), 401)
    assert_problem(gateway.http.get(f"/api/content/{DOCUMENT}"), 401)


def test_a_gateway_that_knows_no_content_svc_says_so(
    services: ServiceFactory, maker: Upstream, redis_server: Server
) -> None:
    alone = services("system.gateway", **settings(maker, redis_server))
    assert_problem(create(alone), 503)
