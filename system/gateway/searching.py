"""Search as the gateway gives it: by search-svc, or among popular items while that is gone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from system.gateway.recommendations import Popular
from system.kit import signals, telemetry
from system.kit.client import Edge, UnavailableError

Words = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$", strict=True)
]
Limit = Annotated[int, Field(ge=1, le=50)]


class SearchWanted(BaseModel):
    """As search-svc takes it."""

    model_config = ConfigDict(extra="forbid")

    query: Words
    limit: Limit = 10


class Hit(BaseModel):
    id: str
    title: str
    score: float


class Found(BaseModel):
    """`fallback`: the words alone decided, since search-svc could not ask for the meaning, or was not asked."""

    items: list[Hit]
    source: Literal["hybrid", "fallback"]


class Searcher:
    """search-svc, and the few items that the gateway itself knows while that is gone."""

    def __init__(self, edge: Edge, popular: Popular) -> None:
        self._edge = edge
        self._popular = popular

    async def ask(self, wanted: SearchWanted, timeout: float) -> tuple[Found, float]:
        """Never fails. The second part is the share of the cache's time for which the answer may be kept."""
        body = wanted.model_dump()
        try:
            found = await self._edge.read(Found, "POST", "/search", timeout=timeout, json=body, idempotent=True)
        except UnavailableError as error:
            return self._instead(error.reason, wanted), 0.0
        return found, 1.0 if found.source == "hybrid" else 0.0

    def _instead(self, reason: signals.FallbackReason, wanted: SearchWanted) -> Found:
        signals.FALLBACK.labels(self._edge.name, reason).inc()
        telemetry.logger("search").warning(signals.LOG_FALLBACK, edge=self._edge.name, reason=reason)
        known = self._popular.named(wanted.query, wanted.limit)
        return Found(items=[Hit(**item.model_dump()) for item in known], source="fallback")
