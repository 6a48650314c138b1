"""api-gateway's search between real clients, a search-svc that misbehaves on request, and a real Redis."""

from __future__ import annotations

import json
import time
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

EDGE = "api-gateway->search-svc"
ITEMS = [{"id": "item-001", "title": "Alder Running Shoes", "score": 0.03}]


async def found(request: Request) -> Response:
    upstream = await noted(request)
    if upstream.mode.isdigit():
        return JSONResponse({"detail": "no"}, int(upstream.mode))
    if upstream.mode == "garbage":
        return JSONResponse({"hits": []})
    return JSONResponse({"items": ITEMS, "source": "fallback" if upstream.mode == "fallback" else "hybrid"})


@pytest.fixture(scope="module")
def accounts() -> Iterator[Upstream]:
    upstream = Upstream([Route("/.well-known/jwks.json", jwks)])
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def searches() -> Iterator[Upstream]:
    upstream = Upstream([Route("/search", found, methods=["POST"])])
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def running(services: ServiceFactory, accounts: Upstream, searches: Upstream, redis_server: Server) -> Service:
    return services(
        "system.gateway",
        USER_URL=accounts.url,
        SEARCH_URL=searches.url,
        # Nobody is there, and no test here asks them.
        RECOMMENDATION_URL="http://127.0.0.1:1",
        CHAT_URL="http://127.0.0.1:1",
        CACHE_URL=f"redis://127.0.0.1:{redis_server.port}/0",
        STORE_URL=f"redis://127.0.0.1:{redis_server.port}/1",
        BREAKER_RESET_SECONDS=str(RESET_SECONDS),
        SEARCH_CACHE_SECONDS="0.5",
    )


@pytest.fixture
def gateway(running: Service, searches: Upstream) -> Service:
    searches.mode = "well"
    eventually(lambda: search(running).json()["source"] == "hybrid", 5, "no recovery")
    searches.requests.clear()
    return running


def search(gateway: Service, user: str = "", /, **wanted: Any) -> httpx.Response:
    """As a new user each time unless told otherwise, so that neither a limit nor the cache is met."""
    headers = bearer(token(user or uuid.uuid4().hex))
    return gateway.http.get("/api/search", params={"q": "shoes", **wanted}, headers=headers)


def test_a_search_is_handed_on_by_address_or_by_body(gateway: Service, searches: Upstream) -> None:
    assert search(gateway, q=" trail shoes ", limit=3).json() == {"items": ITEMS, "source": "hybrid"}
    posted = gateway.http.post("/api/search", json={"query": "trail shoes", "limit": 3}, headers=bearer())
    assert posted.json() == {"items": ITEMS, "source": "hybrid"}
    bodies = [json.loads(body) for _, _, body in searches.requests]
    assert bodies == [{"query": "trail shoes", "limit": 3}] * 2
    assert 0 < int(searches.requests[0][1]["x-timeout-ms"]) <= 3000


def test_search_svc_is_told_for_whom_by_the_token_and_by_nothing_else(gateway: Service, searches: Upstream) -> None:
    headers = {**bearer(token("ada")), "x-user-id": "mallory"}
    gateway.http.get("/api/search", params={"q": "for whom"}, headers=headers)
    assert searches.requests[0][1]["x-user-id"] == "ada"


def test_it_needs_a_token(gateway: Service) -> None:
    assert_problem(gateway.http.get("/api/search", params={"q": "shoes"}), 401)


@pytest.mark.parametrize(
    "wanted",
    [{"q": ""}, {"q": "  "}, {"q": "x" * 10_240}, {"q": "a\x00"}, {"limit": 0}, {"limit": 51}, {"limit": "all"}],
)
def test_a_wrong_search_is_refused_here(gateway: Service, searches: Upstream, wanted: dict[str, Any]) -> None:
    assert_problem(search(gateway, **wanted), 422)
    body = {"query": wanted.get("q", "shoes"), "limit": wanted.get("limit", 10)}
    assert_problem(gateway.http.post("/api/search", json=body, headers=bearer()), 422)
    assert not searches.requests


def test_the_same_search_of_a_user_is_answered_from_the_cache_for_its_time(
    gateway: Service, searches: Upstream
) -> None:
    user = uuid.uuid4().hex
    first, second = search(gateway, user), search(gateway, user)
    other_words, other_user = search(gateway, user, q="boots"), search(gateway)
    assert [each.headers["x-cache"] for each in (first, second, other_words, other_user)] == [
        "miss",
        "hit",
        "miss",
        "miss",
    ]
    assert len(searches.requests) == 3
    eventually(lambda: search(gateway, user).headers["x-cache"] == "miss", 3, "kept for good")


def test_what_the_words_alone_found_is_given_but_not_kept(gateway: Service, searches: Upstream) -> None:
    searches.mode = "fallback"
    user = uuid.uuid4().hex
    for _ in range(2):
        answer = search(gateway, user)
        assert (answer.json()["source"], answer.headers["x-cache"]) == ("fallback", "miss")


@pytest.mark.parametrize("mode", ["500", "503", "garbage"])
def test_without_search_svc_popular_items_with_the_words_are_found(
    gateway: Service, searches: Upstream, mode: str
) -> None:
    searches.mode = mode
    found = search(gateway, q="SHEARS or opal", limit=3).json()
    assert found["source"] == "fallback"
    assert found["items"][0] == {"id": "item-374", "title": "Nimbus Garden Shears", "score": 0.277333}
    assert all({"opal", "shears"} & set(item["title"].lower().split()) for item in found["items"])
    assert len(found["items"]) == 3
    assert search(gateway, q="submarine").json() == {"items": [], "source": "fallback"}


def test_a_search_svc_that_does_not_answer_is_given_up_in_time(gateway: Service, searches: Upstream) -> None:
    searches.mode = "slow"
    started = time.monotonic()
    assert search(gateway).json()["source"] == "fallback"
    assert 2.5 < time.monotonic() - started < 4


def test_an_old_answer_stands_in_and_the_breaker_opens(gateway: Service, searches: Upstream) -> None:
    user = uuid.uuid4().hex
    kept = search(gateway, user).json()
    searches.mode = "503"
    eventually(lambda: search(gateway, user).headers.get("x-cache") == "stale", 3, "not kept")
    assert search(gateway, user).json() == kept
    assert gateway.metric("fallback_total", edge=EDGE, reason="status")

    def opened() -> bool:
        """After some failed calls; one that is tried again counts once."""
        return bool(search(gateway, user).status_code and gateway.metric("circuit_breaker_state", edge=EDGE) == 2)

    eventually(opened, 3, "the breaker stays closed")
    searches.mode = "well"
    eventually(lambda: search(gateway).json()["source"] == "hybrid", 5, "no recovery")


def test_the_51st_search_of_a_minute_is_refused(gateway: Service) -> None:
    user = uuid.uuid4().hex
    answers = [search(gateway, user) for _ in range(50)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].headers["ratelimit-policy"] == "50;w=60"
    refused = search(gateway, user)
    assert_problem(refused, 429)
    assert refused.headers["retry-after"]
