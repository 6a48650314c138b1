"""The HTTP side of search-svc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from system.kit import database
from system.kit.problem import ProblemError
from system.search import items
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
    try:
        stored, embedded = await context.indexer.put(item, body.title, body.text)
    except items.RetiredError as error:
        raise ProblemError(410, "this item was removed for good") from error
    if stored.revision == 1:
        response.status_code = CREATED
    return Indexed(id=item, embedded=embedded)


@router.get("/items/{item}")
async def get(context: Search, item: ItemId) -> NewItem:
    async with database.transaction(context.pool) as connection:
        stored = await items.one(connection, item)
    if stored is None:
        raise ProblemError(404, "there is no such item")
    return NewItem(title=stored.title, text=stored.text)


@router.delete("/items/{item}", status_code=204)
async def remove(context: Search, item: ItemId, for_good: bool = False) -> None:
    """Also where there is no such item: who undoes something may have to try twice.

    After a removal `for_good` no request brings the item back that was sent before and comes late.
    """
    await context.indexer.remove(item, for_good=for_good)
