"""The HTTP side of search-svc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from system.kit import database
from system.search.indexer import Indexer
from system.search.models import Found, Indexed, ItemId, NewItem, Wanted
from system.search.searcher import Searcher

router = APIRouter()
CREATED = 201


@dataclass(frozen=True)
class Context:
    """What the routes work with, hung on the app at start."""

    pool: database.Pool
    searcher: Searcher
    indexer: Indexer


def context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


Search = Annotated[Context, Depends(context)]


@router.post("/search")
async def search(context: Search, wanted: Wanted) -> Found:
    return await context.searcher.search(wanted.query, wanted.limit)


@router.put("/items/{item}", responses={CREATED: {"model": Indexed}})
async def put(context: Search, item: ItemId, body: NewItem, response: Response) -> Indexed:
    stored, embedded = await context.indexer.put(item, body.title, body.text)
    if stored.revision == 1:
        response.status_code = CREATED
    return Indexed(id=item, embedded=embedded)


@router.delete("/items/{item}", status_code=204)
async def remove(context: Search, item: ItemId) -> None:
    """Also where there is no such item: who undoes something may have to try twice."""
    await context.indexer.remove(item)
