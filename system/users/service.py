"""user-svc: accounts, log-in, and the keys by which everyone can check a token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response

from system.kit import app as kit
from system.kit import background, database, problem
from system.kit import states as kit_states
from system.kit.bus import Bus
from system.users import internal_routes, outbox, record_routes, routes, states
from system.users.relay import Relay
from system.users.settings import UserSettings

SERVICE = "user-svc"
VERSIONS = Path(__file__).parent / "migrations" / "versions"


def make(settings: UserSettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await database.migrate(settings.database_url, VERSIONS)
        async with database.pool(settings.database_url) as pool, _relaying(settings, pool) as told:
            app.state.context = routes.Context(settings, pool, told)
            await app.state.context.keys.fresh()
            yield

    routers = [routes.router, record_routes.router, internal_routes.router, internal_routes.addresses]
    routers += kit_states.routers(settings, states.STATES, states.MESSAGES)
    app = kit.create(SERVICE, settings, routers=routers, lifespan=lifespan, ready={"postgres": _postgres})
    app.add_exception_handler(database.DatabaseDownError, _database_down)
    return app


@asynccontextmanager
async def _relaying(settings: UserSettings, pool: database.Pool) -> AsyncIterator[Callable[[], None]]:
    """Gives what is to be called when there is something new in the outbox."""
    if settings.broker_url is None:
        yield lambda: None
        return
    async with Bus(SERVICE, settings.broker_url, publishes=outbox.EVENTS) as bus:
        relay = Relay(pool, bus)
        async with background.running(relay.run()):
            yield relay.nudge


async def _postgres(app: FastAPI) -> None:
    await database.answers(app.state.context.pool)


async def _database_down(_request: Request, _error: Exception) -> Response:
    return problem.response(503, "the database does not answer", headers={"retry-after": "1"})
