"""user-svc: accounts, log-in, and the keys by which everyone can check a token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response

from system.kit import app as kit
from system.kit import database, problem
from system.users import internal_routes, record_routes, routes
from system.users.settings import UserSettings

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def make(settings: UserSettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await database.migrate(settings.database_url, VERSIONS)
        async with database.pool(settings.database_url) as pool:
            app.state.context = routes.Context(settings, pool)
            await app.state.context.keys.fresh()
            yield

    routers = [routes.router, record_routes.router, internal_routes.router]
    app = kit.create("user-svc", settings, routers=routers, lifespan=lifespan, ready={"postgres": _postgres})
    app.add_exception_handler(database.DatabaseDownError, _database_down)
    return app


async def _postgres(app: FastAPI) -> None:
    await database.answers(app.state.context.pool)


async def _database_down(_request: Request, _error: Exception) -> Response:
    return problem.response(503, "the database does not answer", headers={"retry-after": "1"})
