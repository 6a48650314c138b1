"""The states of search-svc, and what it tells of a search, for the verification of contracts."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI

from system.kit import database
from system.kit.decisions import Decisions
from system.kit.states import Captured, Make, Params, State


async def _put(app: FastAPI, params: Params) -> None:
    await app.state.context.indexer.put(str(params["itemId"]), str(params["title"]), str(params["text"]))


async def _nothing(_app: FastAPI, _params: Params) -> None:
    """What is to be is not there."""


async def _remove(app: FastAPI, params: Params) -> None:
    item = str(params["itemId"])
    await app.state.context.indexer.remove(item)
    async with database.transaction(app.state.context.pool) as connection:
        await connection.execute("DELETE FROM retired WHERE id = %s", (item,))


async def _ranked(app: FastAPI) -> bytes:
    captured = Captured()
    item = {"itemId": "pact-ranked", "title": "Hiking boots", "text": ""}
    await _put(app, item)
    async with Decisions(captured) as told:
        await app.state.context.searcher.telling(told).search("hiking boots", 5)
    await _remove(app, item)
    return captured.only


STATES: Mapping[str, State] = {"an item": State(_put, _remove), "no such item": State(_nothing, _remove)}
MESSAGES: Mapping[str, Make] = {"a ranking of search results": _ranked}
