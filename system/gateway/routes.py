"""The routes that the outside sees, less the WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from system.gateway import accounts, contents, policies, tasks
from system.gateway.conversation import ChatSaid, question
from system.gateway.conversation import answer as answer_to
from system.gateway.exchange import Answer, Exchange, reply, told
from system.gateway.front import Route
from system.gateway.gateway import Gateway
from system.gateway.recommendations import ANONYMOUS, Recommendations
from system.gateway.searching import Found, Limit, SearchWanted, Words
from system.gateway.stream import MEDIA_TYPE, EventStream
from system.kit import signals, telemetry
from system.kit.client import UnavailableError

HOMEPAGE_ITEMS = 10
OK = 200


class Homepage(BaseModel):
    recommendations: Recommendations
    user: dict[str, Any] | None


class RecommendWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=10, ge=1, le=50)


class SearchAddressed(BaseModel):
    q: Words
    limit: Limit = 10


async def homepage(gateway: Gateway, asked: Exchange) -> Answer:
    """Its parts at once, each within its own time; a part that fails does not take the page with it."""
    user = asked.claims.user if asked.claims else ANONYMOUS
    timeout = gateway.settings.homepage_part_timeout_seconds
    recommending = gateway.recommender.ask(user, HOMEPAGE_ITEMS, timeout)
    if asked.claims is None:
        (recommendations, _), profile = await recommending, None
    else:
        (recommendations, _), profile = await asyncio.gather(recommending, _profile(gateway, asked, timeout))
    return reply(asked, Homepage(recommendations=recommendations, user=profile), [(b"cache-control", b"no-store")])


async def recommend(gateway: Gateway, asked: Exchange) -> Answer:
    """From the cache where it is fresh, else from the model; where that is gone, what was kept, else popular items."""
    wanted = await asked.read(RecommendWanted)
    user, timeout = asked.sender.user, policies.RECOMMEND.before_fallback
    return await gateway.cache.answer(asked, wanted, lambda: gateway.recommender.ask(user, wanted.limit, timeout))


async def search(gateway: Gateway, asked: Exchange) -> Answer:
    """From the cache where it is fresh, else from search-svc; where that is gone, what was kept, else popular items."""
    return await _search(gateway, asked, await asked.read(SearchWanted))


async def search_by_address(gateway: Gateway, asked: Exchange) -> Answer:
    """As the POST, for what is to have an address."""
    addressed = await asked.read(SearchAddressed)
    return await _search(gateway, asked, SearchWanted(query=addressed.q, limit=addressed.limit))


async def chat(gateway: Gateway, asked: Exchange) -> Answer:
    """Server-sent events: `delta` {text} as the model speaks, and one `done` at the end in every case."""
    said = await asked.read(ChatSaid)
    events = answer_to(gateway.edges.chat, question(said, asked.sender.user), policies.CHAT.timeout)
    return EventStream(events, told(asked))


async def _search(gateway: Gateway, asked: Exchange, wanted: SearchWanted) -> Answer:
    timeout = policies.SEARCH.before_fallback
    return await gateway.searches.answer(asked, wanted, lambda: gateway.searcher.ask(wanted, timeout))


async def _profile(gateway: Gateway, asked: Exchange, timeout: float) -> dict[str, Any] | None:
    edge = gateway.edges.users
    headers = {"authorization": asked.header(b"authorization") or ""}
    try:
        answer = await edge.call("GET", "/users/me", timeout=timeout, headers=headers, idempotent=True)
        return dict(answer.json()) if answer.status == OK else None
    except (UnavailableError, ValueError) as error:
        reason: signals.FallbackReason = error.reason if isinstance(error, UnavailableError) else "schema"
        signals.FALLBACK.labels(edge.name, reason).inc()
        telemetry.logger("homepage").warning(signals.LOG_FALLBACK, edge=edge.name, reason=reason)
        return None


# fmt: off
ROUTES = (
    Route("GET",  "/api/homepage",  policies.HOMEPAGE,  homepage,          None,            Homepage),
    Route("POST", "/api/recommend", policies.RECOMMEND, recommend,         RecommendWanted, Recommendations),
    Route("GET",  "/api/search",    policies.SEARCH,    search_by_address, SearchAddressed, Found),
    Route("POST", "/api/search",    policies.SEARCH,    search,            SearchWanted,    Found),
    Route("POST", "/api/chat",      policies.CHAT,      chat,              ChatSaid,        None, MEDIA_TYPE),
    *accounts.ROUTES,
    *contents.ROUTES,
    *tasks.ROUTES,
)
# fmt: on
