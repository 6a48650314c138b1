"""search-svc: finds the shop's items by what is meant, and by the words where that cannot be had."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from fastapi import FastAPI, Request, Response

from system.kit import app as kit
from system.kit import background, database, decisions, problem
from system.kit import states as kit_states
from system.kit.breaker import Breaker, CircuitBreaker, Consecutive, Unguarded
from system.kit.client import UnavailableError
from system.kit.decisions import Decisions
from system.search import embedding, pinecone, routes, states
from system.search.embedding import Embedding
from system.search.guard import Guard
from system.search.indexer import Indexer
from system.search.pgvector import PgVector
from system.search.searcher import Searcher
from system.search.settings import SearchSettings
from system.search.vectors import VectorStore

SERVICE = "search-svc"
VERSIONS = Path(__file__).parent / "migrations" / "versions"


def make(settings: SearchSettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await database.migrate(settings.database_url, VERSIONS)
        guard = Guard(_breaker(embedding.EDGE, settings), settings.embed_timeout_seconds)
        model = Embedding(settings.model_dir, guard)
        await model.refresh()
        bus = decisions.bus(SERVICE, settings.broker_url)
        async with (
            bus or nullcontext(),
            Decisions(bus) as told,
            database.pool(settings.database_url) as pool,
            _vectors(settings, pool) as vectors,
        ):
            indexer = Indexer(pool, model, vectors)
            app.state.context = routes.Context(pool, Searcher(pool, model, vectors, told), indexer)
            watching = model.watch(settings.model_watch_seconds)
            async with background.running(watching, indexer.keep_up(settings.index_interval_seconds)):
                yield
        model.close()

    contract = kit_states.routers(settings, states.STATES, states.MESSAGES)
    app = kit.create(
        SERVICE, settings, routers=[routes.router, *contract], lifespan=lifespan, ready={"postgres": _postgres}
    )
    app.add_exception_handler(database.DatabaseDownError, _unavailable)
    app.add_exception_handler(UnavailableError, _unavailable)
    return app


@asynccontextmanager
async def _vectors(settings: SearchSettings, pool: database.Pool) -> AsyncIterator[VectorStore]:
    if not settings.pinecone_api_key or not settings.pinecone_host:
        yield PgVector(pool)
        return
    guard = Guard(_breaker(pinecone.EDGE, settings), settings.pinecone_timeout_seconds)
    store = await pinecone.connect(settings.pinecone_api_key, settings.pinecone_host, guard)
    try:
        yield store
    finally:
        await store.close()


def _breaker(edge: str, settings: SearchSettings) -> Breaker:
    if not settings.breaker_enabled:
        return Unguarded(edge)
    return CircuitBreaker(edge, Consecutive(settings.breaker_ai_failures), settings.breaker_reset_seconds)


async def _postgres(app: FastAPI) -> None:
    await database.answers(app.state.context.pool)


async def _unavailable(_request: Request, _error: Exception) -> Response:
    return problem.response(503, "items cannot be reached now", headers={"retry-after": "1"})
