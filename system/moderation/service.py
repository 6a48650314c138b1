"""moderation-svc: whether a text may be published, and a person's word where that is not sure."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from fastapi import FastAPI, Request, Response

from system.kit import app as kit
from system.kit import background, decisions, problem, signals
from system.kit import states as kit_states
from system.kit.client import UnavailableError
from system.kit.decisions import Decisions
from system.kit.forms import Filler
from system.kit.store import Store
from system.moderation import blocklist, routes, states
from system.moderation.judgement import Judge
from system.moderation.moderator import Moderator
from system.moderation.settings import ModerationSettings
from system.moderation.shelf import Shelf

SERVICE = "moderation-svc"
EDGE = "moderation-svc->llm-emulator"


def make(settings: ModerationSettings) -> FastAPI:
    """Ends the process where the block list is wrong: without one this service must not answer."""
    try:
        block_list = blocklist.load(settings.block_list)
    except blocklist.BlockListError as error:
        sys.exit(f"the block list is wrong:\n{error}")
    signals.announce_moderations()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store, model = Store("moderation-svc->store", settings.store_url), Filler(EDGE, settings, falls_back=True)
        shelf = Shelf(store, settings.review_seconds)
        bus = decisions.bus(SERVICE, settings.broker_url)
        async with bus or nullcontext(), Decisions(bus) as told:
            moderator = Moderator(block_list, Judge(model), shelf, told, settings.confidence_needed)
            app.state.context = routes.Context(moderator)
            async with background.running(_count(shelf, settings.waiting_interval_seconds)):
                yield
        await model.close()
        await store.close()

    contract = kit_states.routers(settings, states.STATES, states.MESSAGES)
    app = kit.create(SERVICE, settings, routers=[routes.router, *contract], lifespan=lifespan)
    app.add_exception_handler(UnavailableError, _unavailable)
    return app


async def _count(shelf: Shelf, interval: float) -> None:
    """Runs for as long as the service does."""
    while True:
        try:
            signals.REVIEWS_WAITING.set(await shelf.waiting())
        except UnavailableError:
            # The store's own log line says why. What is not known is not told.
            signals.REVIEWS_WAITING.set(float("nan"))
        await asyncio.sleep(interval)


async def _unavailable(_request: Request, _error: Exception) -> Response:
    return problem.response(503, "nothing can be decided or held now", headers={"retry-after": "1"})
