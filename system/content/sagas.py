"""All sagas of the service: begun, waited for, taken up again where they were left, and cleared away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from dbos import DBOS, DBOSConfig, SetWorkflowID

from system.content import documents
from system.content.documents import Document
from system.content.parts import SERVICE, Parts
from system.content.saga import Patience, Saga
from system.content.settings import ContentSettings
from system.kit import database, deadline, signals, telemetry

# For who waits for a saga that runs in another process.
LOOK_SECONDS = 0.25
AT_ONCE = 100
# Sagas of another version are not taken up again. It is to be changed only together with their steps, when all of the
# old ones have ended.
VERSION = "1"


class Sagas:
    def __init__(self, settings: ContentSettings, pool: database.Pool, parts: Parts) -> None:
        self._settings = settings
        self._pool = pool
        self._waiting: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._starting: dict[tuple[UUID, int], asyncio.Task[None]] = {}
        patience = Patience(settings.saga_attempts, settings.saga_wait_seconds, settings.saga_longest_wait_seconds)
        self._saga = Saga(pool, parts, patience, self._decided)

    def begin(self, document: Document) -> None:
        """Runs the saga in the background, unless somebody does already."""
        key = document.id, document.round
        if key in self._starting or self._saga.active(document):
            return
        task = asyncio.create_task(self._start(document))
        self._starting[key] = task
        task.add_done_callback(lambda _: self._starting.pop(key))

    async def outcome(self, document: Document, seconds: float) -> Document:
        """The document as soon as it is decided what becomes of it, or as it is after `seconds`."""
        ends = time.monotonic() + deadline.remaining(seconds)
        told = asyncio.Event()
        self._waiting[document.id].add(told)
        try:
            while not document.decided and (left := ends - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), min(LOOK_SECONDS, left))
                told.clear()
                document = await self._look(document)
        finally:
            self._waiting[document.id].discard(told)
            if not self._waiting[document.id]:
                del self._waiting[document.id]
        return document

    async def sweep(self) -> None:
        """Runs for as long as the service does: takes up what fell between two chairs, counts, and clears away."""
        while True:
            try:
                await self._take_up()
                await self._count()
                await self._clear()
            except database.DatabaseDownError as error:
                telemetry.logger("sweep").warning(signals.LOG_SAGA_WAITS, error=str(error))
            await asyncio.sleep(self._settings.saga_sweep_seconds)

    async def review(self) -> None:
        """Runs for as long as the service does: asks again for a verdict on what is held."""
        while True:
            await asyncio.sleep(self._settings.saga_review_seconds)
            try:
                await self._try_held()
            except database.DatabaseDownError as error:
                telemetry.logger("review").warning(signals.LOG_SAGA_WAITS, error=str(error))

    async def _start(self, document: Document) -> None:
        with SetWorkflowID(_log(document.id, document.round)):
            await DBOS.start_workflow_async(self._saga.run, str(document.id), document.round)

    def _decided(self, document: UUID) -> None:
        for told in self._waiting.get(document, ()):
            told.set()

    async def _look(self, document: Document) -> Document:
        """As it was where the database does not tell."""
        with suppress(database.DatabaseDownError):
            async with database.transaction(self._pool) as connection:
                return await documents.get(connection, document.id) or document
        return document

    async def _take_up(self) -> None:
        """A process may be killed between writing down a wish and beginning its saga."""
        async with database.transaction(self._pool) as connection:
            left = await documents.unfinished(connection, self._settings.saga_sweep_seconds, AT_ONCE)
        for document in left:
            self.begin(document)

    async def _try_held(self) -> None:
        async with database.transaction(self._pool) as connection:
            held = await documents.held(connection, self._settings.saga_review_seconds, AT_ONCE)
        for document in held:
            async with database.transaction(self._pool) as connection:
                found = await documents.resume(connection, document)
            if found is None:
                continue
            self.begin(found)
            after = await self.outcome(found, self._settings.answer_seconds)
            if after.held_for == "moderation":
                # Nobody there yet: the others need not try.
                return

    async def _count(self) -> None:
        async with database.transaction(self._pool) as connection:
            counts = await documents.count(connection)
            stuck = await documents.unfinished(connection, self._settings.saga_stuck_seconds, AT_ONCE)
        for state, count in counts.items():
            signals.SAGA_DOCUMENTS.labels(state).set(count)
        signals.SAGA_STUCK.set(len(stuck))

    async def _clear(self) -> None:
        async with database.transaction(self._pool) as connection:
            ended = await documents.logged(connection, self._settings.saga_log_seconds, AT_ONCE)
        for document in ended:
            for round_ in range(document.round + 1):
                await DBOS.delete_workflow_async(_log(document.id, round_))
            async with database.transaction(self._pool) as connection:
                await documents.forget_log(connection, document.id)


@asynccontextmanager
async def running(settings: ContentSettings, pool: database.Pool, parts: Parts) -> AsyncIterator[Sagas]:
    """Takes up what an earlier process left unfinished. At the end, what runs is left for the next."""
    log = logging.getLogger("dbos")
    # Or DBOS gives itself one that writes no JSON.
    log.addHandler(logging.NullHandler())
    config: DBOSConfig = {
        "name": SERVICE,
        "system_database_url": settings.database_url,
        # One name for all replicas: whichever starts next takes up what any of them left.
        "executor_id": SERVICE,
        "application_version": VERSION,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    sagas = Sagas(settings, pool, parts)
    DBOS.launch()
    try:
        yield sagas
    finally:
        DBOS.destroy()


def _log(document: UUID, round: int) -> str:
    """The name of the log of one round's steps."""
    return f"{document}/{round}"
