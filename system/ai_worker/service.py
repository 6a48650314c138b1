"""ai-worker: takes tasks from the broker, has the model do them, tells whoever asked. Nobody calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request

from system.ai_worker import documents
from system.ai_worker.delivery import Courier
from system.ai_worker.destination import Guard
from system.ai_worker.documents import Documents
from system.ai_worker.ledger import Ledger, Told
from system.ai_worker.receivers import Receivers
from system.ai_worker.settings import WorkerSettings
from system.ai_worker.summary import Summariser
from system.ai_worker.worker import Insistence, NotYetError, Worker
from system.kit import app as kit
from system.kit import signals
from system.kit.breaker import Breaker, CircuitBreaker, Consecutive, Unguarded
from system.kit.bus import Bus
from system.kit.client import Edge, UnavailableError
from system.kit.forms import Filler
from system.kit.store import Store
from system.kit.tasks import EVENT, Task

SERVICE = "ai-worker"
EDGE = "ai-worker->llm-emulator"
router = APIRouter()
# Beyond what a task's own timeouts allow.
SLACK_SECONDS = 10.0


def make(settings: WorkerSettings) -> FastAPI:
    signals.announce_tasks()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store, model = Store("ai-worker->store", settings.store_url), Filler(EDGE, settings, falls_back=False)
        async with Edge(documents.EDGE, settings.content_url, _breaker(documents.EDGE, settings)) as content:
            app.state.ledger = Ledger(store, settings.task_seconds)
            worker = _worker(settings, app.state.ledger, content, model)
            bus = Bus(SERVICE, settings.broker_url, retry_seconds=settings.bus_retry_seconds)
            seconds = settings.llm_seconds + settings.document_timeout_seconds + settings.callback_timeout_seconds
            bus.subscribe(
                EVENT,
                Task,
                worker.handle,
                prefetch=settings.prefetch,
                seconds=seconds + SLACK_SECONDS,
                temporary=(UnavailableError, NotYetError),
            )
            async with bus:
                yield
        await model.close()
        await store.close()

    return kit.create(SERVICE, settings, routers=[router], lifespan=lifespan)


@router.get("/internal/told")
async def told(request: Request) -> list[Told]:
    """Which outcomes their receivers have, the latest first: enough to see that each was told, and told once."""
    ledger: Ledger = request.app.state.ledger
    return await ledger.told()


def _worker(settings: WorkerSettings, ledger: Ledger, content: Edge, model: Filler) -> Worker:
    services = settings.services()
    failures = settings.breaker_failures if settings.breaker_enabled else 0
    guard = Guard(services)
    receivers = Receivers(list(services), failures, settings.breaker_reset_seconds)
    return Worker(
        ledger,
        Documents(content, settings.document_timeout_seconds),
        Summariser(model),
        guard,
        Courier(guard, receivers, settings.secrets(), settings.callback_timeout_seconds),
        Insistence(settings.callback_attempts, settings.callback_wait_seconds, settings.callback_longest_wait_seconds),
    )


def _breaker(edge: str, settings: WorkerSettings) -> Breaker:
    if not settings.breaker_enabled:
        return Unguarded(edge)
    return CircuitBreaker(edge, Consecutive(settings.breaker_failures), settings.breaker_reset_seconds)
