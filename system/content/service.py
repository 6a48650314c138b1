"""content-svc: owns documents, and has them made, checked and indexed by other services, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response

from system.content import documents, routes, sagas, states
from system.content.parts import SERVICE, Parts
from system.content.settings import ContentSettings
from system.kit import app as kit
from system.kit import background, database, problem, signals
from system.kit import states as kit_states

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def make(settings: ContentSettings) -> FastAPI:
    signals.announce_sagas(documents.STATES)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await database.migrate(settings.database_url, VERSIONS)
        async with AsyncExitStack() as stack:
            parts = Parts(settings)
            for edge in parts.edges:
                await stack.enter_async_context(edge)
            pool = await stack.enter_async_context(database.pool(settings.database_url))
            running = await stack.enter_async_context(sagas.running(settings, pool, parts))
            app.state.context = routes.Context(settings, pool, running, parts)
            async with background.running(running.sweep(), running.review()):
                yield

    contract = kit_states.routers(settings, states.STATES)
    app = kit.create(
        SERVICE, settings, routers=[routes.router, *contract], lifespan=lifespan, ready={"postgres": _postgres}
    )
    app.add_exception_handler(database.DatabaseDownError, _database_down)
    return app


async def _postgres(app: FastAPI) -> None:
    await database.answers(app.state.context.pool)


async def _database_down(_request: Request, _error: Exception) -> Response:
    return problem.response(503, "the database does not answer", headers={"retry-after": "1"})
