"""Search, for everyone who is logged in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from system.gateway import policies
from system.gateway.gateway import Gateway, Here, admit_known
from system.gateway.routes import unavailable, with_etag
from system.gateway.searching import Found, Limit, SearchWanted, Words
from system.kit import signals, telemetry
from system.kit.client import UnavailableError

router = APIRouter()


@router.get(policies.SEARCH.name, response_model=Found)
async def by_address(
    gateway: Here, request: Request, q: Annotated[Words, Query()], limit: Annotated[Limit, Query()] = 10
) -> Response:
    return await search(gateway, request, SearchWanted(query=q, limit=limit))


@router.post(policies.SEARCH.name, response_model=Found)
async def search(gateway: Here, request: Request, wanted: SearchWanted) -> Response:
    """From the cache where it is fresh, else from search-svc; where that is gone, what was kept, else a clean error."""
    claims = await admit_known(gateway, request, policies.SEARCH)
    kept = await gateway.searches.get(claims.user, wanted)
    if kept and kept.fresh:
        return with_etag(request, kept.answer, "hit")
    try:
        found = await _ask(gateway, wanted)
    except UnavailableError as error:
        if kept is None:
            raise unavailable(error, "search results") from error
        signals.FALLBACK.labels(error.edge, error.reason).inc()
        telemetry.logger("search").warning(signals.LOG_FALLBACK, edge=error.edge, reason=error.reason)
        return with_etag(request, kept.answer, "stale")
    # What the words alone found is not worth keeping.
    await gateway.searches.put(claims.user, wanted, found, 1.0 if found.source == "hybrid" else 0.0)
    return with_etag(request, found, "miss")


async def _ask(gateway: Gateway, wanted: SearchWanted) -> Found:
    return await gateway.edges.search.read(
        Found, "POST", "/search", timeout=policies.SEARCH.timeout, json=wanted.model_dump(), idempotent=True
    )
