"""Recommendations as the gateway gives them: from the model, from the cache, or popular items when both are gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, TypeAdapter

from system.gateway.settings import GatewaySettings
from system.kit import signals, telemetry
from system.kit.client import Edge, UnavailableError

ANONYMOUS = "anonymous"
KNOWN_POPULAR = Path(__file__).parent / "popular.json"
POPULAR_TIMEOUT_SECONDS = 2.0
# What is popular is all there is for a new user, but also for a known one while the features are gone: not for long.
KEEP = {"model": 1.0, "popular": 1 / 30}


class Item(BaseModel):
    id: str
    score: float
    title: str


class Provided(BaseModel):
    """recommendation-svc's answer. `popular`: it knows nothing of this user."""

    items: list[Item] = Field(min_length=1)
    model_version: str
    source: Literal["model", "popular"]


class Recommendations(BaseModel):
    """`source` says who answered: recommendation-svc (`model`), or the gateway in its place (`fallback`)."""

    source: Literal["model", "fallback"]
    model_version: str | None
    items: list[Item]


class Popular:
    """Items for everyone. Known from the start by a file, and kept up to date while recommendation-svc answers."""

    def __init__(self, edge: Edge, settings: GatewaySettings) -> None:
        self._edge = edge
        self._limit = settings.popular_limit
        self._refresh_seconds = settings.popular_refresh_seconds
        self._items = TypeAdapter(list[Item]).validate_json(KNOWN_POPULAR.read_bytes())

    def instead(self, reason: signals.FallbackReason) -> Recommendations:
        signals.FALLBACK.labels(self._edge.name, reason).inc()
        telemetry.logger("recommend").warning(signals.LOG_FALLBACK, edge=self._edge.name, reason=reason)
        return Recommendations(source="fallback", model_version=None, items=self._items[: self._limit])

    def named(self, words: str, limit: int) -> list[Item]:
        """Those whose title has any of the words, the most popular first."""
        wanted = set(words.casefold().split())
        return [item for item in self._items if wanted & set(item.title.casefold().split())][:limit]

    async def keep_fresh(self) -> None:
        """Runs for as long as the service does."""
        while True:
            try:
                path = f"/popular?limit={max(self._limit, 1)}"
                found = await self._edge.read(Provided, "GET", path, timeout=POPULAR_TIMEOUT_SECONDS, idempotent=True)
                self._items = found.items
            except UnavailableError as error:
                telemetry.logger().warning("popular_items_not_refreshed", error=str(error))
            await asyncio.sleep(self._refresh_seconds)


class Recommender:
    def __init__(self, edge: Edge, popular: Popular) -> None:
        self._edge = edge
        self._popular = popular

    async def ask(self, user: str, limit: int, timeout: float) -> tuple[Recommendations, float]:
        """Never fails. The second part is the share of the cache's time for which the answer may be kept."""
        wanted = {"userId": user, "limit": limit}
        try:
            found = await self._edge.read(Provided, "POST", "/recommend", timeout=timeout, json=wanted, idempotent=True)
        except UnavailableError as error:
            return self._popular.instead(error.reason), 0.0
        answer = Recommendations(source="model", model_version=found.model_version, items=found.items)
        return answer, KEEP[found.source]
