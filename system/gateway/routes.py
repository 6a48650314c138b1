"""The routes that the outside sees."""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from system.gateway import cache as answers
from system.gateway import policies
from system.gateway.auth import Verifier
from system.gateway.cache import Cache
from system.gateway.edges import Edges
from system.gateway.limits import Limiter
from system.gateway.policies import Policy
from system.gateway.recommendations import ANONYMOUS, Recommendations, Recommender
from system.gateway.settings import GatewaySettings
from system.gateway.stream import EventStream
from system.kit import deadline, signals, telemetry
from system.kit.client import Edge, UnavailableError
from system.kit.problem import ProblemError
from system.kit.store import Store
from system.kit.tokens import Claims

HOMEPAGE_ITEMS = 10
TIMEOUT, UNAVAILABLE = 504, 503
# What may be handed on of a provider's headers: the rest speaks of its connection, not of its answer.
HANDED_ON = ("content-type", "cache-control", "etag", "location", "retry-after", "www-authenticate")
OPEN_USER_PATHS = frozenset({("POST", ""), ("POST", "/login"), ("POST", "/refresh"), ("POST", "/logout")})
# After these, what was recommended before is not what should be now.
CHANGES_TASTE = frozenset({("POST", "/me/purchases"), ("PATCH", "/me")})
USER_PATH = re.compile(r"(/[A-Za-z0-9._-]+)*")

CHAT_INSTEAD = "The assistant is not available right now. Please try again in a moment."

router = APIRouter()


@dataclass(frozen=True)
class Gateway:
    """What the routes work with, hung on the app at start."""

    settings: GatewaySettings
    edges: Edges
    redis: Store
    verifier: Verifier
    limiter: Limiter
    recommender: Recommender
    cache: Cache[Recommendations]


class Homepage(BaseModel):
    recommendations: Recommendations
    user: dict[str, Any] | None


class RecommendWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=10, ge=1, le=50)


class ChatSaid(BaseModel):
    model_config = ConfigDict(extra="forbid")

    message: str = Field(min_length=1, max_length=8000)
    sessionId: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")


def gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


Here = Annotated[Gateway, Depends(gateway_of)]


async def admit(gateway: Gateway, request: Request, policy: Policy) -> Claims | None:
    """Applies the policy that stands before every answer. Raises ProblemError.

    What is left of the caller's allowance waits in the request's state for the answer.
    """
    deadline.within(policy.timeout)
    claims = await gateway.verifier.claims(request.headers.get("authorization"), policy)
    caller = claims.user if claims else f"address {request.client.host if request.client else 'unknown'}"
    allowance = await gateway.limiter.take(policy, caller, claims.tier if claims else "free")
    request.state.headers = allowance.headers if allowance else {}
    return claims


async def admit_known(gateway: Gateway, request: Request, policy: Policy) -> Claims:
    claims = await admit(gateway, request, policy)
    assert claims  # noqa: S101  the policy requires a token
    return claims


@router.get(policies.HOMEPAGE.name)
async def homepage(gateway: Here, request: Request, response: Response) -> Homepage:
    """Its parts at once, each within its own time; a part that fails does not take the page with it."""
    claims = await admit(gateway, request, policies.HOMEPAGE)
    response.headers["cache-control"] = "no-store"
    timeout = gateway.settings.homepage_part_timeout_seconds
    (recommendations, _), user = await asyncio.gather(
        gateway.recommender.ask(claims.user if claims else ANONYMOUS, HOMEPAGE_ITEMS, timeout),
        _profile(gateway, request, claims, timeout),
    )
    return Homepage(recommendations=recommendations, user=user)


@router.post(policies.RECOMMEND.name, response_model=Recommendations)
async def recommend(gateway: Here, request: Request, wanted: RecommendWanted) -> Response:
    """From the cache where it is fresh, else from the model; where that is gone, what was kept, else popular items."""
    claims = await admit_known(gateway, request, policies.RECOMMEND)
    kept = await gateway.cache.get(claims.user, wanted)
    if kept and kept.fresh:
        return _with_etag(request, kept.answer, "hit")
    answer, share = await gateway.recommender.ask(claims.user, wanted.limit, policies.RECOMMEND.timeout)
    if kept and answer.source == "fallback":
        return _with_etag(request, kept.answer, "stale")
    await gateway.cache.put(claims.user, wanted, answer, share)
    return _with_etag(request, answer, "miss")


@router.post(policies.CHAT.name)
async def chat(gateway: Here, request: Request, said: ChatSaid) -> Response:
    """Server-sent events: `delta` {text} as the model speaks, and one `done` at the end in every case."""
    claims = await admit_known(gateway, request, policies.CHAT)
    session = said.sessionId or _new_session(claims.user)
    if not session.startswith(_session_prefix(claims.user)):
        raise ProblemError(404, "there is no such session")
    body = {"message": said.message, "sessionId": session}
    return EventStream(
        gateway.edges.chat,
        "/chat",
        body,
        timeout=policies.CHAT.timeout,
        ending=_chat_ending(gateway.edges.chat, session),
        headers=request.state.headers,
    )


@router.api_route("/api/users{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def users(gateway: Here, request: Request, path: str) -> Response:
    policy = policies.USERS_OPEN if (request.method, path) in OPEN_USER_PATHS else policies.USERS
    claims = await admit(gateway, request, policy)
    if not USER_PATH.fullmatch(path) or ".." in path:
        raise ProblemError(404, "there is no such path")
    headers = {name: request.headers[name] for name in ("authorization", "content-type") if name in request.headers}
    body = await request.body()
    try:
        answer = await gateway.edges.users.call(
            request.method,
            f"/users{path}",
            timeout=policy.timeout,
            body=body or None,
            headers=headers,
            idempotent=request.method == "GET",
        )
    except UnavailableError as error:
        raise unavailable(error, "accounts") from error
    if claims and answer.status < 300 and (request.method, path) in CHANGES_TASTE:  # noqa: PLR2004
        await answers.drop(gateway.redis, claims.user)
    handed_on = {name: answer.headers[name] for name in HANDED_ON if name in answer.headers}
    return Response(answer.body, answer.status, {**handed_on, **request.state.headers})


def unavailable(error: UnavailableError, what: str) -> ProblemError:
    """The clean error of a route that has nothing to fall back to."""
    if error.reason == "timeout":
        return ProblemError(TIMEOUT, f"{what} did not answer in time")
    retry = {"retry-after": str(max(1, round(error.retry_after)))}
    return ProblemError(UNAVAILABLE, f"{what} are not available now", headers=retry)


def _with_etag(request: Request, answer: BaseModel, cached: str) -> Response:
    """304 where the client has this answer already."""
    body = answer.model_dump_json().encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"cache-control": "private, no-cache", "etag": etag, "x-cache": cached, **request.state.headers}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


async def _profile(gateway: Gateway, request: Request, claims: Claims | None, timeout: float) -> dict[str, Any] | None:
    if claims is None:
        return None
    edge = gateway.edges.users
    headers = {"authorization": request.headers["authorization"]}
    try:
        answer = await edge.call("GET", "/users/me", timeout=timeout, headers=headers, idempotent=True)
        return dict(answer.json()) if answer.status == 200 else None  # noqa: PLR2004
    except (UnavailableError, ValueError) as error:
        reason: signals.FallbackReason = error.reason if isinstance(error, UnavailableError) else "schema"
        signals.FALLBACK.labels(edge.name, reason).inc()
        telemetry.logger("homepage").warning(signals.LOG_FALLBACK, edge=edge.name, reason=reason)
        return None


def _session_prefix(user: str) -> str:
    """Begins the id of each of the user's sessions, so that nobody can name another's."""
    return hashlib.sha256(user.encode()).hexdigest()[:16] + "-"


def _new_session(user: str) -> str:
    return _session_prefix(user) + uuid.uuid4().hex


def _chat_ending(edge: Edge, session: str) -> Callable[[UnavailableError, bool], bytes]:
    def ending(error: UnavailableError, started: bool) -> bytes:
        signals.FALLBACK.labels(edge.name, error.reason).inc()
        telemetry.logger("chat").warning(signals.LOG_FALLBACK, edge=edge.name, reason=error.reason)
        if started:
            return _event("done", {"sessionId": session, "source": "fallback", "stop_reason": "cut"})
        done = {"sessionId": session, "source": "fallback", "stop_reason": "fallback"}
        return _event("delta", {"text": CHAT_INSTEAD}) + _event("done", done)

    return ending


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), to_json(data))
