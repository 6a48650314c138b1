"""api-gateway between real clients, small upstreams that misbehave on request, and a real Redis."""

from __future__ import annotations

import asyncio
import json
import signal
import socket as socketlib
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, get_args

import httpx
import jwt
import pytest
import redis
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from ports import free_port
from servers import Server, Service, ServiceFactory, eventually
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from system.kit.signals import FallbackReason

RECOMMENDATION = "api-gateway->recommendation-svc"
CHAT = "api-gateway->chat-svc"
ITEMS = [{"id": "i1", "score": 0.9, "title": "A book"}]
RESET_SECONDS = 0.5


@dataclass
class Upstream:
    """A provider on a port of its own. `mode` says how it behaves; `requests` what it was asked."""

    routes: list[Route]
    port: int = field(default_factory=free_port)
    mode: str = "well"
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        app = Starlette(routes=self.routes)
        app.state.upstream = self
        config = uvicorn.Config(app, port=self.port, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        eventually(lambda: self.server.started, 5, "the upstream did not start")

    def stop(self) -> None:
        self.server.force_exit = self.server.should_exit = True
        self.thread.join()


async def noted(request: Request) -> Upstream:
    upstream: Upstream = request.app.state.upstream
    upstream.requests.append((request.url.path, dict(request.headers), await request.body()))
    if upstream.mode == "slow":
        await asyncio.sleep(30)
    return upstream


async def recommend(request: Request) -> Response:
    upstream = await noted(request)
    if upstream.mode.isdigit():
        return JSONResponse({"detail": "no"}, int(upstream.mode))
    if upstream.mode == "garbage":
        return Response("<html>", media_type="application/json")
    items = [] if upstream.mode == "empty" else ITEMS
    source = "popular" if upstream.mode == "popular" or request.method == "GET" else "model"
    return JSONResponse({"items": items, "model_version": "m1", "source": source})


def event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


async def chat(request: Request) -> Response:
    upstream = await noted(request)
    if upstream.mode.isdigit():
        return JSONResponse({"detail": "no"}, int(upstream.mode))

    async def speak() -> AsyncIterator[bytes]:
        try:
            yield event("delta", {"text": "Hello"})
            if upstream.mode == "cut":
                yield b"event: delta\ndata: {"
                return
            while upstream.mode == "flood":
                await asyncio.sleep(0)
                yield event("delta", {"text": "x" * 50_000})
            while upstream.mode == "long":
                await asyncio.sleep(0.05)
                yield event("delta", {"text": "more"})
            yield event("done", {"source": "model"})
        finally:
            upstream.requests.append(("ended", {}, b""))

    return StreamingResponse(speak(), media_type="text/event-stream")


KEY = ec.generate_private_key(ec.SECP256R1())


NEXT_KEY = ec.generate_private_key(ec.SECP256R1())


async def jwks(request: Request) -> Response:
    """Each mode beside `well` is a step of a rotation."""
    upstream = await noted(request)
    keys = {"rotating": {"k2": NEXT_KEY, "k1": KEY}, "rotated": {"k2": NEXT_KEY}}.get(upstream.mode, {"k1": KEY})
    public = {kid: json.loads(ECAlgorithm.to_jwk(key.public_key())) for kid, key in keys.items()}
    return JSONResponse({"keys": [{**jwk, "kid": kid, "use": "sig"} for kid, jwk in public.items()]})


async def account(request: Request) -> Response:
    upstream = await noted(request)
    if upstream.mode.isdigit():
        return JSONResponse({"detail": "no"}, int(upstream.mode))
    headers = {"www-authenticate": "Bearer", "x-internal": "secret"}
    said = {"path": request.url.path, "query": request.url.query, "name": "Ada"}
    return JSONResponse(said, headers=headers)


@pytest.fixture(scope="module")
def recommendation() -> Iterator[Upstream]:
    upstream = Upstream([Route("/recommend", recommend, methods=["POST"]), Route("/popular", recommend)])
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def chats() -> Iterator[Upstream]:
    upstream = Upstream([Route("/chat", chat, methods=["POST"])])
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def accounts() -> Iterator[Upstream]:
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    routes = [Route("/.well-known/jwks.json", jwks), Route("/users{path:path}", account, methods=methods)]
    upstream = Upstream(routes)
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def environment(recommendation: Upstream, chats: Upstream, accounts: Upstream, redis_server: Server) -> dict[str, str]:
    return {
        "USER_URL": accounts.url,
        "RECOMMENDATION_URL": recommendation.url,
        "CHAT_URL": chats.url,
        "CACHE_URL": f"redis://127.0.0.1:{redis_server.port}/0",
        "STORE_URL": f"redis://127.0.0.1:{redis_server.port}/1",
        "BREAKER_RESET_SECONDS": str(RESET_SECONDS),
    }


@pytest.fixture(scope="module")
def running(services: ServiceFactory, environment: dict[str, str]) -> Service:
    return services("system.gateway", **environment)


@pytest.fixture
def gateway(running: Service, recommendation: Upstream, chats: Upstream, accounts: Upstream) -> Service:
    """The gateway with all its providers well and all its breakers closed."""
    for upstream in (recommendation, chats, accounts):
        upstream.mode = "well"
    eventually(lambda: homepage(running)["recommendations"]["source"] == "model", 5, "no recovery")
    eventually(lambda: "fallback" not in talk(running).text, 5, "no recovery")
    for upstream in (recommendation, chats, accounts):
        upstream.requests.clear()
    return running


def token(user: str = "u1", key: Any = KEY, kid: str = "k1", **claims: Any) -> str:
    now = int(time.time())
    payload = {"sub": user, "iss": "user-svc", "aud": "gameday", "iat": now, "exp": now + 60, "tier": "free", **claims}
    return jwt.encode(payload, key, "ES256", {"kid": kid})


def bearer(signed: str | None = None) -> dict[str, str]:
    return {"authorization": f"Bearer {signed or token()}"}


def homepage(gateway: Service, **headers: str) -> dict[str, Any]:
    answer = gateway.http.get("/api/homepage", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


def recommended(gateway: Service, user: str, /, **body: Any) -> httpx.Response:
    return gateway.http.post("/api/recommend", json=body, headers=bearer(token(user)))


def talk(gateway: Service, user: str = "", /, **body: Any) -> httpx.Response:
    """As a new user each time unless told otherwise, so that no limit is met."""
    signed = token(user or uuid.uuid4().hex)
    return gateway.http.post("/api/chat", json={"message": "Hi", **body}, headers=bearer(signed))


def events(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["correlationId"] == answer.headers["x-correlation-id"]


# The homepage.


def test_homepage_without_a_token_recommends_to_anyone(gateway: Service, recommendation: Upstream) -> None:
    expected = {"recommendations": {"source": "model", "model_version": "m1", "items": ITEMS}, "user": None}
    assert homepage(gateway) == expected
    assert json.loads(recommendation.requests[-1][2])["userId"] == "anonymous"


def test_homepage_with_a_token_is_the_users(gateway: Service, recommendation: Upstream) -> None:
    page = homepage(gateway, **bearer(token("u7")))
    assert page["user"]["name"] == "Ada"
    assert json.loads(recommendation.requests[-1][2])["userId"] == "u7"


def test_homepage_is_never_cached(gateway: Service, recommendation: Upstream) -> None:
    for _ in range(2):
        homepage(gateway, **bearer())
    assert [path for path, _, _ in recommendation.requests].count("/recommend") == 2


@pytest.mark.parametrize("mode", ["slow", "500", "502", "503", "504", "garbage", "empty"])
def test_homepage_falls_back_to_popular_items(gateway: Service, recommendation: Upstream, mode: str) -> None:
    recommendation.mode = mode
    started = time.monotonic()
    page = homepage(gateway)
    assert time.monotonic() - started < 0.8
    assert page["recommendations"]["source"] == "fallback"
    assert page["recommendations"]["model_version"] is None
    assert page["recommendations"]["items"]


def test_homepage_without_the_account_still_recommends(gateway: Service, accounts: Upstream) -> None:
    accounts.mode = "503"
    page = homepage(gateway, **bearer())
    assert (page["user"], page["recommendations"]["source"]) == (None, "model")


def test_dead_recommender_opens_the_breaker_which_closes_when_it_is_back(
    gateway: Service, recommendation: Upstream
) -> None:
    recommendation.stop()
    for _ in range(4):
        assert homepage(gateway)["recommendations"]["source"] == "fallback"
    assert gateway.metric("circuit_breaker_state", edge=RECOMMENDATION) == 2
    short = gateway.metric("edge_requests_total", edge=RECOMMENDATION, outcome="short_circuit") or 0
    assert short >= 1
    assert (gateway.metric("fallback_total", edge=RECOMMENDATION, reason="open") or 0) >= 1
    recommendation.start()
    eventually(lambda: homepage(gateway)["recommendations"]["source"] == "model", 3, "the breaker did not close")
    assert gateway.metric("circuit_breaker_state", edge=RECOMMENDATION) == 0


def test_a_fault_of_the_request_opens_no_breaker(gateway: Service, recommendation: Upstream) -> None:
    recommendation.mode = "422"
    for _ in range(6):
        homepage(gateway)
    assert gateway.metric("circuit_breaker_state", edge=RECOMMENDATION) == 0


def test_popular_items_follow_the_recommender(
    services: ServiceFactory, environment: dict[str, str], recommendation: Upstream
) -> None:
    recommendation.mode = "well"
    service = services("system.gateway", **environment)
    eventually(lambda: any(path == "/popular" for path, _, _ in recommendation.requests), 3, "not fetched")
    recommendation.mode = "503"
    eventually(lambda: homepage(service)["recommendations"]["items"] == ITEMS, 3, "not refreshed")


def test_gateway_starts_and_answers_with_nobody_behind_it(
    services: ServiceFactory, environment: dict[str, str]
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    away = {
        "USER_URL": nobody,
        "RECOMMENDATION_URL": nobody,
        "CHAT_URL": nobody,
        "CACHE_URL": "redis://127.0.0.1:1/0",
        "STORE_URL": "redis://127.0.0.1:1/1",
    }
    service = services("system.gateway", **{**environment, **away})
    assert len(homepage(service)["recommendations"]["items"]) == 10
    assert_problem(recommended(service, "u1"), 503)
    assert_problem(service.http.post("/api/users/login", json={}), 503)


# Recommendations and their cache.


def test_recommendations_are_cached_per_user_and_limit(gateway: Service, recommendation: Upstream) -> None:
    user = uuid.uuid4().hex
    first, second, other = (recommended(gateway, user), recommended(gateway, user), recommended(gateway, user, limit=3))
    assert [answer.headers["x-cache"] for answer in (first, second, other)] == ["miss", "hit", "miss"]
    assert first.json() == second.json() == {"source": "model", "model_version": "m1", "items": ITEMS}
    assert recommended(gateway, uuid.uuid4().hex).headers["x-cache"] == "miss"


def test_fallbacks_are_not_stored(gateway: Service, recommendation: Upstream) -> None:
    user = uuid.uuid4().hex
    recommendation.mode = "503"
    assert recommended(gateway, user).json()["source"] == "fallback"
    recommendation.mode = "well"
    assert recommended(gateway, user).headers["x-cache"] == "miss"


def fresh_for(server: Server, user: str) -> float:
    """Seconds for which the one answer kept for `user` is given without asking again."""
    with redis.Redis(port=server.port) as client:
        (text,) = client.hvals(f"answers:{user}")
    return float(json.loads(text)[0] - time.time())


def test_what_is_popular_is_kept_for_a_shorter_time(
    gateway: Service, recommendation: Upstream, redis_server: Server
) -> None:
    new, known = uuid.uuid4().hex, uuid.uuid4().hex
    recommended(gateway, known)
    recommendation.mode = "popular"
    recommended(gateway, new)
    assert 1790 < fresh_for(redis_server, known) <= 1800
    assert 50 < fresh_for(redis_server, new) <= 60


def test_an_answer_past_its_time_stands_in_for_a_dead_provider(
    services: ServiceFactory, environment: dict[str, str], gateway: Service, recommendation: Upstream
) -> None:
    service = services("system.gateway", **environment, RECOMMEND_CACHE_SECONDS="0.5")
    user = uuid.uuid4().hex
    first = recommended(service, user)
    recommendation.mode = "503"
    eventually(lambda: recommended(service, user).headers["x-cache"] == "stale", 2, "not kept")
    assert recommended(service, user).json() == first.json()
    assert recommended(service, uuid.uuid4().hex).json()["source"] == "fallback"
    # Nothing is kept for good.
    eventually(lambda: recommended(service, user).json()["source"] == "fallback", 5, "kept for good")


def test_an_answer_that_the_client_has_is_not_sent_again(gateway: Service) -> None:
    user = uuid.uuid4().hex
    etag = recommended(gateway, user).headers["etag"]
    headers = {**bearer(token(user)), "if-none-match": etag}
    again = gateway.http.post("/api/recommend", json={}, headers=headers)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert gateway.http.post("/api/recommend", json={"limit": 1}, headers={**headers, "if-none-match": '"x"'}).content


@pytest.mark.parametrize(("method", "path"), [("POST", "/me/purchases"), ("PATCH", "/me")])
def test_what_changes_a_users_taste_drops_the_users_answers_only(gateway: Service, method: str, path: str) -> None:
    user, other = uuid.uuid4().hex, uuid.uuid4().hex
    for who in (user, other):
        recommended(gateway, who)
    gateway.http.request(method, f"/api/users{path}", json={}, headers=bearer(token(user)))
    assert recommended(gateway, user).headers["x-cache"] == "miss"
    assert recommended(gateway, other).headers["x-cache"] == "hit"


def test_cached_answers_expire(services: ServiceFactory, environment: dict[str, str], gateway: Service) -> None:
    service = services("system.gateway", **environment, RECOMMEND_CACHE_SECONDS="0.3")
    user = uuid.uuid4().hex
    recommended(service, user)
    assert recommended(service, user).headers["x-cache"] == "hit"
    eventually(lambda: recommended(service, user).headers["x-cache"] == "miss", 3, "never expires")


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_cache_that_is_gone_costs_no_answer_and_is_told(
    gateway: Service, redis_server: Server, how: signal.Signals
) -> None:
    def told(edge: str) -> float:
        return sum(gateway.metric("fallback_total", edge=edge, reason=reason) for reason in get_args(FallbackReason))

    before = told("api-gateway->cache"), told("api-gateway->store")
    redis_server.send(how)
    try:
        for _ in range(5):
            started = time.monotonic()
            assert recommended(gateway, uuid.uuid4().hex).json()["source"] == "model"
            assert time.monotonic() - started < 0.5
        # Five answers that were not looked up, and could not be kept; five calls that were not counted.
        assert told("api-gateway->cache") >= before[0] + 5
        assert told("api-gateway->store") >= before[1] + 5
    finally:
        if how == signal.SIGSTOP:
            redis_server.send(signal.SIGCONT)
        else:
            redis_server.stop()
            redis_server.start()

    def caches_again() -> bool:
        user = uuid.uuid4().hex
        recommended(gateway, user)
        return recommended(gateway, user).headers["x-cache"] == "hit"

    def counts_again() -> bool:
        return "ratelimit-limit" in recommended(gateway, uuid.uuid4().hex).headers

    # The tests that follow talk, which is refused while nobody counts.
    eventually(caches_again, 5, "the cache is not used again")
    eventually(counts_again, 10, "calls are not counted again")


@pytest.mark.parametrize("body", [{"limit": 0}, {"limit": 51}, {"limit": "x"}, {"limit": 10**30}, {"user": "u2"}])
def test_a_wrong_wish_is_refused(gateway: Service, body: dict[str, Any]) -> None:
    assert_problem(recommended(gateway, "u1", **body), 422)


# Chat.


def test_chat_streams_each_event_as_it_comes(gateway: Service, chats: Upstream) -> None:
    chats.mode = "long"
    request = {"json": {"message": "Hi"}, "headers": bearer()}
    with gateway.http.stream("POST", "/api/chat", **request) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in answer.headers
        pieces = answer.iter_raw()
        assert next(pieces) == event("delta", {"text": "Hello"})
        chats.mode = "well"
        rest = b"".join(pieces)
    assert rest.endswith(event("done", {"source": "model"}))


def test_chat_ends_the_call_when_its_client_hangs_up(gateway: Service, chats: Upstream) -> None:
    chats.mode = "long"
    with gateway.http.stream("POST", "/api/chat", json={"message": "Hi"}, headers=bearer()) as answer:
        next(answer.iter_raw())
    eventually(lambda: chats.requests[-1][0] == "ended", 3, "chat-svc goes on talking to nobody")


def test_chat_lets_go_of_a_client_that_never_reads(gateway: Service, chats: Upstream) -> None:
    chats.mode = "flood"
    body = json.dumps({"message": "Hi"})
    head = (
        "POST /api/chat HTTP/1.1", "host: x", f"authorization: Bearer {token()}",
        "content-type: application/json", f"content-length: {len(body)}", "", body,
    )  # fmt: skip
    with closing(socketlib.create_connection(("127.0.0.1", gateway.port))) as deaf:
        deaf.setsockopt(socketlib.SOL_SOCKET, socketlib.SO_RCVBUF, 4096)
        deaf.sendall("\r\n".join(head).encode())
        eventually(lambda: [path for path, _, _ in chats.requests] == ["/chat", "ended"], 20, "talks on to the deaf")
    assert homepage(gateway)["recommendations"]["source"] == "model"


def test_a_cut_stream_ends_with_a_whole_last_event(gateway: Service, chats: Upstream) -> None:
    chats.mode = "cut"
    (first, last) = events(talk(gateway).text)
    assert first == ("delta", {"text": "Hello"})
    assert last[0] == "done"
    assert (last[1]["source"], last[1]["stop_reason"]) == ("fallback", "cut")


def test_chat_without_chat_svc_answers_plainly(gateway: Service, chats: Upstream) -> None:
    chats.stop()
    try:
        answer = talk(gateway)
    finally:
        chats.start()
    (delta, done) = events(answer.text)
    assert answer.status_code == 200
    assert delta[1]["text"]
    assert done[1]["source"] == "fallback"


def test_a_session_belongs_to_its_user(gateway: Service, chats: Upstream) -> None:
    talk(gateway, "u1")
    mine = json.loads(chats.requests[0][2])["sessionId"]
    assert events(talk(gateway, "u1", sessionId=mine).text)[-1][0] == "done"
    theirs = gateway.http.post("/api/chat", json={"message": "Hi", "sessionId": mine}, headers=bearer(token("u2")))
    assert_problem(theirs, 404)


def test_chat_passes_a_refusal_on(gateway: Service, chats: Upstream) -> None:
    chats.mode = "422"
    answer = talk(gateway)
    assert (answer.status_code, answer.json()) == (422, {"detail": "no"})


# Chat over a WebSocket.


def socket(gateway: Service, signed: str | None = None, **options: Any) -> ClientConnection:
    headers = {"authorization": f"Bearer {signed or token(uuid.uuid4().hex)}"}
    url = f"ws://127.0.0.1:{gateway.port}/api/chat/ws"
    return connect(url, additional_headers=headers, proxy=None, open_timeout=5, close_timeout=1, **options)


def said(connection: ClientConnection, until: str = "done") -> list[dict[str, Any]]:
    frames = []
    while not frames or frames[-1]["event"] != until:
        frames.append(json.loads(connection.recv(timeout=5)))
    return frames


def test_websocket_answers_question_after_question(gateway: Service, chats: Upstream) -> None:
    with socket(gateway) as connection:
        for _ in range(2):
            connection.send(json.dumps({"message": "Hi"}))
            assert [frame["event"] for frame in said(connection)] == ["delta", "done"]


def test_websocket_of_a_browser_brings_its_token_as_a_subprotocol(gateway: Service) -> None:
    url = f"ws://127.0.0.1:{gateway.port}/api/chat/ws"
    with connect(url, subprotocols=["chat", f"bearer.{token()}"], proxy=None) as connection:
        assert connection.subprotocol == "chat"
        connection.send(json.dumps({"message": "Hi"}))
        assert said(connection)[-1]["event"] == "done"


def test_websocket_with_a_bad_token_is_closed_with_a_code_that_says_so(gateway: Service) -> None:
    with socket(gateway, BAD_TOKENS["expired"]) as connection, pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=5)
    assert closed.value.rcvd
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "expired")


@pytest.mark.parametrize("frame", ["{", "[]", "{}", '{"message": ""}', '{"message": "Hi", "x": 1}'])
def test_websocket_survives_a_wrong_question(gateway: Service, frame: str) -> None:
    with socket(gateway) as connection:
        connection.send(frame)
        assert said(connection, until="problem")[0]["data"]["status"] == 422
        connection.send(json.dumps({"message": "Hi"}))
        assert said(connection)[-1]["event"] == "done"


def test_websocket_refuses_what_is_too_large(gateway: Service) -> None:
    with socket(gateway) as connection, pytest.raises(ConnectionClosed) as closed:
        connection.send(json.dumps({"message": "x" * 2_000_000}))
        connection.recv(timeout=5)
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 1009


def test_websocket_counts_each_question(gateway: Service) -> None:
    with socket(gateway) as connection:
        for _ in range(20):
            connection.send(json.dumps({"message": "Hi"}))
            said(connection)
        connection.send(json.dumps({"message": "Hi"}))
        refused = said(connection, until="problem")[0]["data"]
    assert refused["status"] == 429
    assert int(refused["retry-after"]) >= 1


def test_websocket_falls_back(gateway: Service, chats: Upstream) -> None:
    chats.mode = "503"
    with socket(gateway) as connection:
        connection.send(json.dumps({"message": "Hi"}))
        frames = said(connection)
    assert [frame["event"] for frame in frames] == ["delta", "done"]
    assert frames[-1]["data"]["source"] == "fallback"


def test_websocket_whose_client_leaves_ends_the_call(gateway: Service, chats: Upstream) -> None:
    chats.mode = "long"
    with socket(gateway) as connection:
        connection.send(json.dumps({"message": "Hi"}))
        connection.recv(timeout=5)
    eventually(lambda: chats.requests[-1][0] == "ended", 3, "chat-svc goes on talking to nobody")


def test_websocket_that_never_reads_is_let_go(gateway: Service, chats: Upstream) -> None:
    chats.mode = "flood"
    with closing(raw_socket(gateway)) as deaf:
        eventually(lambda: [path for path, _, _ in chats.requests] == ["/chat", "ended"], 20, "talks on to the deaf")
        assert deaf
    assert homepage(gateway)["recommendations"]["source"] == "model"


def raw_socket(gateway: Service) -> socketlib.socket:
    """A client that asks one question and reads nothing but the handshake."""
    connection = socketlib.create_connection(("127.0.0.1", gateway.port))
    connection.setsockopt(socketlib.SOL_SOCKET, socketlib.SO_RCVBUF, 4096)
    handshake = (
        "GET /api/chat/ws HTTP/1.1", "host: x", "upgrade: websocket", "connection: upgrade",
        "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", f"authorization: Bearer {token()}",
    )  # fmt: skip
    connection.sendall("\r\n".join((*handshake, "", "")).encode())
    connection.recv(15)
    question = json.dumps({"message": "Hi"}).encode()
    connection.sendall(bytes([0x81, 0x80 | len(question), 0, 0, 0, 0]) + question)
    return connection


# Limits.


@pytest.fixture(scope="module")
def pair(services: ServiceFactory, environment: dict[str, str]) -> list[Service]:
    return [services("system.gateway", **environment) for _ in range(2)]


def test_the_21st_free_chat_of_a_minute_is_refused_by_whichever_gateway(
    pair: list[Service], chats: Upstream, gateway: Service
) -> None:
    headers = bearer(token(uuid.uuid4().hex))

    def ask(number: int) -> httpx.Response:
        return pair[number % 2].http.post("/api/chat", json={"message": "Hi"}, headers=headers)

    answers = [ask(number) for number in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert [int(answer.headers["ratelimit-remaining"]) for answer in answers] == list(reversed(range(20)))
    assert answers[0].headers["ratelimit-policy"] == "20;w=60"
    refused = ask(20)
    assert_problem(refused, 429)
    # What was asked in the first moment of a window weighs on the next one, until a twentieth of that is over.
    assert 1 <= int(refused.headers["retry-after"]) <= 60 + 60 / 20
    assert pair[0].metric("rate_limited_total", route="/api/chat", tier="free") == 1


def test_pro_may_do_more_and_each_user_has_an_own_count(gateway: Service) -> None:
    pro, other = token(uuid.uuid4().hex, tier="pro"), token(uuid.uuid4().hex)
    for _ in range(21):
        answer = gateway.http.post("/api/chat", json={"message": "Hi"}, headers=bearer(pro))
    assert (answer.status_code, answer.headers["ratelimit-limit"]) == (200, "200")
    assert gateway.http.post("/api/chat", json={"message": "Hi"}, headers=bearer(other)).status_code == 200


def test_the_count_slides(gateway: Service, redis_server: Server) -> None:
    """A full minute before still counts by its share, so that the turn of the minute doubles nothing."""
    user = uuid.uuid4().hex
    client = redis.Redis(port=redis_server.port, db=1)
    seconds = client.time()[0]
    start = (seconds - seconds % 60) * 1000
    client.hset(f"limit:/api/chat:{user}", mapping={"start": start - 60_000, "count": 20, "before": 0})
    headers = bearer(token(user))
    statuses = [gateway.http.post("/api/chat", json={"message": "Hi"}, headers=headers).status_code for _ in range(21)]
    # The share of the minute that has passed is free again.
    passed = seconds % 60 / 60
    assert abs(statuses.count(200) - int(20 * passed)) <= 1
    client.close()


@pytest.mark.parametrize(("path", "status"), [("/api/chat", 503), ("/api/recommend", 200)])
def test_without_its_counts_a_route_does_as_its_policy_says(
    services: ServiceFactory, environment: dict[str, str], gateway: Service, path: str, status: int
) -> None:
    service = services("system.gateway", **{**environment, "STORE_URL": f"redis://127.0.0.1:{free_port()}/1"})
    body = {"message": "Hi"} if path == "/api/chat" else {}
    answer = service.http.post(path, json=body, headers=bearer())
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)


def test_limits_can_be_lifted_for_a_load_test(
    services: ServiceFactory, environment: dict[str, str], gateway: Service
) -> None:
    service = services("system.gateway", **environment, RATE_LIMIT_FACTOR="0")
    headers = bearer(token(uuid.uuid4().hex))
    for _ in range(21):
        assert service.http.post("/api/chat", json={"message": "Hi"}, headers=headers).status_code == 200


# Accounts.


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("POST", "/login"), ("POST", "/refresh"), ("POST", "/logout")]
)
def test_signing_up_and_in_needs_no_token(gateway: Service, accounts: Upstream, method: str, path: str) -> None:
    answer = gateway.http.request(method, f"/api/users{path}", json={"email": "a@b.c"})
    assert answer.json()["path"] == f"/users{path}"
    assert json.loads(accounts.requests[-1][2]) == {"email": "a@b.c"}
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "x-internal" not in answer.headers


def test_the_rest_of_accounts_needs_one(gateway: Service, accounts: Upstream) -> None:
    assert_problem(gateway.http.get("/api/users/me"), 401)
    signed = token()
    assert gateway.http.patch("/api/users/me", json={}, headers=bearer(signed)).status_code == 200
    assert accounts.requests[-1][1]["authorization"] == f"Bearer {signed}"


def test_the_query_and_the_key_of_a_repeated_purchase_go_on(gateway: Service, accounts: Upstream) -> None:
    answer = gateway.http.get("/api/users/me/purchases", params={"limit": 3, "x": "ä b"}, headers=bearer())
    assert answer.json()["query"] == "limit=3&x=%C3%A4+b"
    headers = {**bearer(), "idempotency-key": "once", "cookie": "secret=1"}
    gateway.http.post("/api/users/me/purchases", json={}, headers=headers)
    sent = accounts.requests[-1][1]
    assert sent["idempotency-key"] == "once"
    assert "cookie" not in sent


@pytest.mark.parametrize(
    "path", ["/../internal", "/%2e%2e/internal", "/me%2f..%2fx", "/me?x=1%0d%0a", "x", "/a b", "//me"]
)
def test_no_path_leads_out_of_accounts(gateway: Service, accounts: Upstream, path: str) -> None:
    with httpx.Client(trust_env=False) as client:
        url = httpx.URL(scheme="http", host="127.0.0.1", port=gateway.port, raw_path=f"/api/users{path}".encode())
        answer = client.get(url, headers=bearer())
    assert answer.status_code in {200, 404}
    assert all(asked.startswith("/users") or asked == "/.well-known/jwks.json" for asked, _, _ in accounts.requests)


def test_a_dead_account_service_is_a_clean_error(gateway: Service, accounts: Upstream) -> None:
    gateway.http.get("/api/users/me", headers=bearer())
    accounts.stop()
    try:
        answer = gateway.http.get("/api/users/me", headers=bearer())
        # Known keys go on being good, so that the other routes are spared.
        assert recommended(gateway, "u1").status_code == 200
    finally:
        accounts.start()
    assert_problem(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1


# Tokens.


OTHER = ec.generate_private_key(ec.SECP256R1())
BAD_TOKENS = {
    "none": "-",
    "nonsense": "x.y.z",
    "expired": token(exp=int(time.time()) - 1),
    "no expiry": jwt.encode({"sub": "u1", "iss": "user-svc", "aud": "gameday"}, KEY, "ES256", {"kid": "k1"}),
    "other audience": token(aud="elsewhere"),
    "other issuer": token(iss="somebody"),
    "other key": token(key=OTHER),
    "unknown key": token(key=OTHER, kid="k2"),
    "unsigned": jwt.encode({"sub": "u1", "aud": "gameday", "iss": "user-svc"}, None, "none", {"kid": "k1"}),
    "symmetric": jwt.encode({"sub": "u1", "aud": "gameday", "iss": "user-svc"}, "x" * 40, "HS256", {"kid": "k1"}),
    "forged tier": ".".join((token().split(".")[0], token(tier="pro").split(".")[1], token().split(".")[2])),
}


REASONS = (
    "a bearer token is needed",
    "not a token",
    "not signed with the expected algorithm",
    "signed with an unknown key",
    "expired",
    "not valid here",
)


def tokens_refused(gateway: Service) -> float:
    return sum(gateway.metric("tokens_refused_total", reason=reason) or 0 for reason in REASONS)


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_a_bad_token_is_refused_everywhere_and_counted(gateway: Service, bad: str) -> None:
    headers, before = {"authorization": f"Bearer {bad}"}, tokens_refused(gateway)
    assert_problem(gateway.http.get("/api/homepage", headers=headers), 401)
    assert_problem(gateway.http.post("/api/recommend", json={}, headers=headers), 401)
    answer = gateway.http.get("/api/users/me", headers=headers)
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert tokens_refused(gateway) == before + 3


def test_an_expired_token_is_refused_also_after_it_was_good(gateway: Service) -> None:
    short = token(exp=int(time.time()) + 1)

    def status() -> int:
        return gateway.http.get("/api/users/me", headers=bearer(short)).status_code

    assert status() == 200
    eventually(lambda: status() == 401, 4, "an expired token is still taken")


def test_keys_rotate_without_a_token_being_refused_and_end_when_withdrawn(
    services: ServiceFactory, environment: dict[str, str], accounts: Upstream, gateway: Service
) -> None:
    service = services("system.gateway", **environment, KEYS_REFRESH_SECONDS="2")
    old, new = token(), token(key=NEXT_KEY, kid="k2")

    def status(signed: str) -> int:
        return service.http.get("/api/users/me", headers=bearer(signed)).status_code

    assert status(old) == 200
    accounts.mode = "rotating"
    eventually(lambda: status(new) == 200, 3, "the new key is not looked for")
    assert status(old) == 200
    accounts.mode = "rotated"
    eventually(lambda: status(old) == 401, 5, "a withdrawn key is still good")
    assert status(new) == 200


def test_made_up_keys_do_not_flood_the_account_service(gateway: Service, accounts: Upstream) -> None:
    for number in range(20):
        gateway.http.get("/api/homepage", headers=bearer(token(key=OTHER, kid=f"made-up-{number}")))
    fetches = [path for path, _, _ in accounts.requests if path.endswith("jwks.json")]
    assert len(fetches) <= 3


# What is no request.

LENGTH, CHUNKED = "content-length: 4", "transfer-encoding: chunked"


@pytest.mark.parametrize(
    "headers",
    [
        (LENGTH, CHUNKED),
        (CHUNKED, LENGTH),
        (LENGTH, "content-length: 5"),
        ("transfer-encoding: chunked, x",),
        ("a b: c",),
    ],
)
def test_a_request_whose_end_is_doubtful_is_refused_and_counted(
    gateway: Service, accounts: Upstream, headers: tuple[str, ...]
) -> None:
    before = gateway.metric("requests_malformed_total")
    assert before is not None
    request = "\r\n".join(
        ("POST /api/users/login HTTP/1.1", "host: x", *headers, "", "0", "", "GET / HTTP/1.1", "", "")
    )
    with socketlib.create_connection(("127.0.0.1", gateway.port), timeout=3) as connection:
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["status"] == 400
    assert answer.count(b"HTTP/1.1") == 1
    assert gateway.metric("requests_malformed_total") == before + 1
    # The gateway looks for new keys by itself.
    assert [path for path, *_ in accounts.requests if not path.endswith("/jwks.json")] == []


# What ties it together.


def test_trace_and_correlation_id_go_on_to_the_provider(gateway: Service, recommendation: Upstream) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = {"x-correlation-id": "c-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = gateway.http.get("/api/homepage", headers=sent)
    assert answer.headers["x-correlation-id"] == "c-1"
    received = recommendation.requests[-1][1]
    assert received["x-correlation-id"] == "c-1"
    assert received["traceparent"].split("-")[1] == trace
    assert 0 < int(received["x-timeout-ms"]) <= 400
    (line,) = gateway.told_of_requests('"correlationId":"c-1"')
    assert (
        line.items() >= {"trace_id": trace, "service": "api-gateway", "route": "/api/homepage", "status": 200}.items()
    )


def test_a_provider_has_less_time_than_the_caller_so_that_a_fallback_comes_before_the_caller_leaves(
    gateway: Service, recommendation: Upstream
) -> None:
    assert recommended(gateway, "u-in-time", limit=3).status_code == 200
    (told,) = [headers for _, headers, *_ in recommendation.requests[-1:]]
    assert 4000 < int(told["x-timeout-ms"]) <= 4750


@pytest.mark.parametrize("forged", ["x" * 65, 'a"b', "a b"])
def test_a_harmful_correlation_id_is_replaced(gateway: Service, forged: str) -> None:
    answer = gateway.http.get("/healthz", headers={"x-correlation-id": forged})
    answer = gateway.http.get("/api/homepage", headers={"x-correlation-id": forged})
    assert answer.headers["x-correlation-id"] != forged


def test_a_stranger_cannot_shorten_a_deadline_to_blame_a_provider(gateway: Service, recommendation: Upstream) -> None:
    for _ in range(4):
        assert homepage(gateway, **{"x-timeout-ms": "1"})["recommendations"]["source"] == "model"


def test_request_metrics_name_the_route(gateway: Service) -> None:
    name = "http_server_request_duration_seconds_count"
    before = gateway.metric(name, route="/api/homepage", method="GET", status="200") or 0
    homepage(gateway)
    gateway.http.get(f"/{uuid.uuid4()}")
    assert gateway.metric(name, route="/api/homepage", method="GET", status="200") == before + 1
    assert gateway.metric(name, route="unmatched", method="GET", status="404")


def test_series_exist_before_anything_happens(services: ServiceFactory, environment: dict[str, str]) -> None:
    service = services("system.gateway", **environment)
    assert service.metric("circuit_breaker_state", edge=CHAT) == 0
    assert service.metric("fallback_total", edge=CHAT, reason="open") == 0
    assert service.metric("circuit_breaker_transitions_total", **{"edge": CHAT, "from": "closed", "to": "open"}) == 0
    assert service.metric("cache_requests_total", route="/api/recommend", result="hit") == 0


def test_a_disabled_breaker_lets_every_call_through(
    services: ServiceFactory, environment: dict[str, str], recommendation: Upstream, gateway: Service
) -> None:
    service = services("system.gateway", **environment, BREAKER_ENABLED="false")
    recommendation.mode = "503"
    for _ in range(6):
        homepage(service)
    assert service.metric("edge_requests_total", edge=RECOMMENDATION, outcome="short_circuit") == 0
    assert service.metric("circuit_breaker_state", edge=RECOMMENDATION) == 0


def test_open_requests_end_before_the_gateway_does(
    services: ServiceFactory, environment: dict[str, str], chats: Upstream, gateway: Service
) -> None:
    service = services("system.gateway", **environment)
    chats.mode = "long"
    with service.http.stream("POST", "/api/chat", json={"message": "Hi"}, headers=bearer()) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        service.send(signal.SIGTERM)
        next(pieces)
        chats.mode = "well"
        assert b"".join(pieces).endswith(event("done", {"source": "model"}))
    # Not told a second time: a Python that is already leaving has no handler any more.
    assert service.process
    assert service.process.wait(15) == 0


def test_cached_answers_are_only_the_users(gateway: Service, redis_server: Server) -> None:
    user = uuid.uuid4().hex
    recommended(gateway, user)
    with redis.Redis(port=redis_server.port, decode_responses=True) as client:
        assert client.keys(f"*{user}*") == [f"answers:{user}"]
