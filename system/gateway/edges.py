"""The gateway's ways to its providers, each behind a breaker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from system.gateway.settings import GatewaySettings
from system.kit.breaker import Breaker, CircuitBreaker, Consecutive, Unguarded
from system.kit.client import Edge

USERS = "api-gateway->user-svc"
RECOMMENDATION = "api-gateway->recommendation-svc"
CHAT = "api-gateway->chat-svc"
SEARCH = "api-gateway->search-svc"
CONTENT = "api-gateway->content-svc"
CACHE = "api-gateway->cache"
STORE = "api-gateway->store"


@dataclass(frozen=True)
class Edges:
    users: Edge
    recommendation: Edge
    chat: Edge
    search: Edge
    content: Edge


@asynccontextmanager
async def connect(settings: GatewaySettings) -> AsyncIterator[Edges]:
    async with AsyncExitStack() as stack:

        async def edge(name: str, url: str, *, ai: bool) -> Edge:
            return await stack.enter_async_context(
                Edge(name, url, breaker(name, settings, ai=ai), ai=ai, falls_back=True)
            )

        yield Edges(
            users=await edge(USERS, settings.user_url, ai=False),
            recommendation=await edge(RECOMMENDATION, settings.recommendation_url, ai=True),
            chat=await edge(CHAT, settings.chat_url, ai=True),
            search=await edge(SEARCH, settings.search_url, ai=True),
            content=await edge(CONTENT, settings.content_url, ai=False),
        )


def breaker(name: str, settings: GatewaySettings, *, ai: bool) -> Breaker:
    if not settings.breaker_enabled:
        return Unguarded(name)
    failures = settings.breaker_ai_failures if ai else settings.breaker_failures
    return CircuitBreaker(name, Consecutive(failures), settings.breaker_reset_seconds)
