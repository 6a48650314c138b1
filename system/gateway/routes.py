"""The routes that the outside sees."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from system.gateway import cache, policies
from system.gateway.conversation import ChatSaid, question
from system.gateway.conversation import answer as answer_to
from system.gateway.gateway import Gateway, Here, admit, admit_known
from system.gateway.recommendations import ANONYMOUS, Recommendations
from system.gateway.stream import EventStream
from system.kit import signals, telemetry
from system.kit.client import UnavailableError
from system.kit.problem import ProblemError
from system.kit.tokens import Claims

HOMEPAGE_ITEMS = 10
TIMEOUT, UNAVAILABLE = 504, 503
# What may be handed on of a provider's headers: the rest speaks of its connection, not of its answer.
HANDED_ON = ("content-type", "cache-control", "etag", "location", "retry-after", "www-authenticate")
OPEN_USER_PATHS = frozenset({("POST", ""), ("POST", "/login"), ("POST", "/refresh"), ("POST", "/logout")})
# After these, what was recommended before is not what should be now.
CHANGES_TASTE = frozenset({("POST", "/me/purchases"), ("PATCH", "/me")})
USER_PATH = re.compile(r"(/[A-Za-z0-9._-]+)*")

router = APIRouter()


class Homepage(BaseModel):
    recommendations: Recommendations
    user: dict[str, Any] | None


class RecommendWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=10, ge=1, le=50)


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
        return with_etag(request, kept.answer, "hit")
    answer, share = await gateway.recommender.ask(claims.user, wanted.limit, policies.RECOMMEND.timeout)
    if kept and answer.source == "fallback":
        return with_etag(request, kept.answer, "stale")
    await gateway.cache.put(claims.user, wanted, answer, share)
    return with_etag(request, answer, "miss")


@router.post(policies.CHAT.name)
async def chat(gateway: Here, request: Request, said: ChatSaid) -> Response:
    """Server-sent events: `delta` {text} as the model speaks, and one `done` at the end in every case."""
    claims = await admit_known(gateway, request, policies.CHAT)
    events = answer_to(gateway.edges.chat, question(said, claims.user), policies.CHAT.timeout)
    return EventStream(events, request.state.headers)


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
        await cache.drop(gateway.redis, claims.user)
    handed_on = {name: answer.headers[name] for name in HANDED_ON if name in answer.headers}
    return Response(answer.body, answer.status, {**handed_on, **request.state.headers})


def unavailable(error: UnavailableError, what: str) -> ProblemError:
    """The clean error of a route that has nothing to fall back to."""
    if error.reason == "timeout":
        return ProblemError(TIMEOUT, f"{what} did not answer in time")
    retry = {"retry-after": str(max(1, round(error.retry_after)))}
    return ProblemError(UNAVAILABLE, f"{what} are not available now", headers=retry)


def with_etag(request: Request, answer: BaseModel, cached: str) -> Response:
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
