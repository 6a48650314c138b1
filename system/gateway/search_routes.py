"""Search, for everyone who is logged in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from system.gateway import policies
from system.gateway.gateway import Here, admit_known
from system.gateway.routes import with_etag
from system.gateway.searching import Found, Limit, SearchWanted, Words

router = APIRouter()


@router.get(policies.SEARCH.name, response_model=Found)
async def by_address(
    gateway: Here, request: Request, q: Annotated[Words, Query()], limit: Annotated[Limit, Query()] = 10
) -> Response:
    return await search(gateway, request, SearchWanted(query=q, limit=limit))


@router.post(policies.SEARCH.name, response_model=Found)
async def search(gateway: Here, request: Request, wanted: SearchWanted) -> Response:
    """From the cache where it is fresh, else from search-svc; where that is gone, what was kept, else popular items."""
    claims = await admit_known(gateway, request, policies.SEARCH)
    kept = await gateway.searches.get(claims.user, wanted)
    if kept and kept.fresh:
        return with_etag(request, kept.answer, "hit")
    found, share = await gateway.searcher.ask(wanted, policies.SEARCH.timeout)
    if kept and found.source == "fallback":
        return with_etag(request, kept.answer, "stale")
    await gateway.searches.put(claims.user, wanted, found, share)
    return with_etag(request, found, "miss")
