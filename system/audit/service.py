"""audit-svc: what the system's models decided, in a trail that can only grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

from fastapi import FastAPI, Request, Response

from system.audit import routes
from system.audit.auditor import Auditor
from system.audit.recorder import AT_ONCE, Recorder
from system.audit.settings import AuditSettings
from system.kit import app as kit
from system.kit import background, database, problem, signals, telemetry
from system.kit.bus import Bus
from system.kit.decisions import EVENT, Decision

SERVICE = "audit-svc"
VERSIONS = Path(__file__).parent / "migrations" / "versions"
DAY_SECONDS = 86_400


def make(settings: AuditSettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await database.migrate(settings.migration_url, VERSIONS)
        async with database.pool(settings.database_url) as pool:
            auditor = Auditor(pool)
            app.state.context = routes.Context(pool, auditor)
            checks, retirement = _verify(auditor, settings.verify_interval_seconds), _retire(auditor, settings)
            async with _hearing(settings, pool), background.running(checks, retirement):
                yield

    app = kit.create(SERVICE, settings, routers=[routes.router], lifespan=lifespan, ready={"postgres": _postgres})
    app.add_exception_handler(database.DatabaseDownError, _database_down)
    return app


def _hearing(settings: AuditSettings, pool: database.Pool) -> AbstractAsyncContextManager[object]:
    """Decisions go from the bus into the trail for as long as the block lasts."""
    if not settings.broker_url:
        return nullcontext()
    bus = Bus(SERVICE, settings.broker_url, retry_seconds=settings.bus_retry_seconds)
    temporary = (database.DatabaseDownError,)
    bus.subscribe(EVENT, Decision, Recorder(pool).handle, prefetch=2 * AT_ONCE, temporary=temporary)
    return bus


async def _verify(auditor: Auditor, interval: float) -> None:
    """Runs for as long as the service does."""
    log = telemetry.logger("verify")
    while True:
        try:
            done = await auditor.verify()
        except database.DatabaseDownError as error:
            log.warning(signals.LOG_TRAIL_UNREAD, error=str(error))
        else:
            signals.AUDIT_WRONG_ENTRIES.set(len({finding.number for finding in done.findings}))
            for finding in done.findings:
                log.error(signals.LOG_TRAIL_WRONG, number=finding.number, id=finding.id, problem=finding.problem)
            if done.head:
                # Beyond the reach of who rewrites the trail from some entry to its end.
                log.info(signals.LOG_TRAIL_HEAD, number=done.head.number, hash=done.head.hash.hex())
        await asyncio.sleep(interval)


async def _retire(auditor: Auditor, settings: AuditSettings) -> None:
    """Runs for as long as the service does."""
    while True:
        try:
            await auditor.retire(settings.retention_days)
        except database.DatabaseDownError as error:
            telemetry.logger("retire").warning(signals.LOG_TRAIL_UNREAD, error=str(error))
        await asyncio.sleep(settings.retention_interval_seconds)


async def _postgres(app: FastAPI) -> None:
    await database.answers(app.state.context.pool)


async def _database_down(_request: Request, _error: Exception) -> Response:
    return problem.response(503, "the database does not answer", headers={"retry-after": "1"})
