"""How a document comes to be: four steps at four services, and all of them undone where one of them cannot be done.

DBOS writes down each step that is done. Whoever runs the saga next, after this
process was killed at any point, goes on behind the last of them; a step that was
under way is done again, so that each of them may be done twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from dbos import DBOS, DBOSConfiguredInstance

from system.content import documents
from system.content.documents import Document, HeldFor, State
from system.content.parts import Parts, Verdict
from system.kit import database, deadline, signals, telemetry
from system.kit.client import RefusedError, UnavailableError

T = TypeVar("T")

CREATE, GENERATE, CHECK, INDEX = "user.create_content", "chat.generate", "moderation.check", "search.index"
UNINDEX, UNGENERATE, UNCREATE = "search.remove", "chat.forget", "user.remove_content"
FAIL, SETTLE = "fail", "settle"

UNSAFE = "Content failed safety check"
FAILED = {
    CREATE: "Content could not be created",
    GENERATE: "Content could not be generated",
    INDEX: "Content could not be indexed",
}
PASSING = (UnavailableError, database.DatabaseDownError)


@dataclass(frozen=True)
class Patience:
    """Seconds between attempts: `first`, then twice as long each time up to `longest`, with jitter."""

    attempts: int
    first: float
    longest: float

    async def until_done(self, action: Callable[[], Awaitable[T]]) -> T:
        """Tries `attempts` times. Raises what the last of them did; RefusedError at once."""
        for attempt in range(1, self.attempts):
            try:
                return await action()
            except RefusedError:
                raise
            except PASSING:
                await self._rest(attempt)
        return await action()

    async def however_long(self, action: Callable[[], Awaitable[T]]) -> T:
        """Tries until it is done: a refusal may be a fault that somebody mends, too."""
        attempt = 0
        while True:
            try:
                return await action()
            except PASSING as error:
                attempt += 1
                telemetry.logger("saga").warning(signals.LOG_SAGA_WAITS, attempt=attempt, error=str(error))
                await self._rest(attempt)

    async def _rest(self, attempt: int) -> None:
        wait = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
        await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - jitter


@DBOS.dbos_class("Saga")
class Saga(DBOSConfiguredInstance):
    """Names of steps and their order are in the log of every saga that is not ended: they can only be added to."""

    def __init__(self, pool: database.Pool, parts: Parts, patience: Patience, decided: Callable[[UUID], None]) -> None:
        super().__init__("content")
        self._pool = pool
        self._parts = parts
        self._patience = patience
        self._decided = decided
        self._active: set[tuple[UUID, int]] = set()

    def active(self, document: Document) -> bool:
        """Whether it is this process that works on it."""
        return (document.id, document.round) in self._active

    @DBOS.workflow(name="content", max_recovery_attempts=None)
    async def run(self, document: str, round: int) -> None:
        """The first `round` begins at the beginning, each further one where the document was held."""
        mine = UUID(document), round
        self._active.add(mine)
        try:
            await self._run(document, round)
        finally:
            self._active.discard(mine)

    async def _run(self, document: str, round: int) -> None:
        error = None
        if round == 0:
            error = await self.create(document) or await self.generate(document)
        verdict = None if error else await self.check(document, round)
        if verdict == "held":
            return
        error = error or (UNSAFE if verdict == "refused" else await self.index(document))
        if error is None:
            await self.settle(document, round, "published")
            return
        await self.fail(document, round, error)
        await self.unindex(document)
        await self.ungenerate(document)
        await self.uncreate(document)
        await self.settle(document, round, "compensated")

    @DBOS.step(name=CREATE)
    async def create(self, document: str) -> str | None:
        """Here and below: None, or why there will be no document."""
        async with self._step(document, CREATE) as found:
            return await self._attempted(CREATE, lambda: self._parts.create(found))

    @DBOS.step(name=GENERATE)
    async def generate(self, document: str) -> str | None:
        async with self._step(document, GENERATE) as found:

            async def generated() -> None:
                text = await self._parts.generate(found)
                await self._keep(found.id, text)

            return await self._attempted(GENERATE, generated)

    @DBOS.step(name=CHECK)
    async def check(self, document: str, round: int) -> Verdict:
        """Without moderation-svc it is held, and so is what that is not sure of."""
        async with self._step(document, CHECK) as found:
            if found.round != round:
                # Held, before this process was killed, and taken on by somebody since.
                return "held"
            held_for: HeldFor = "verdict"
            try:
                verdict: Verdict = await self._patience.until_done(lambda: self._parts.check(found))
            except PASSING as error:
                telemetry.logger("saga").warning(signals.LOG_SAGA_FAILED, step=CHECK, error=str(error))
                if isinstance(error, UnavailableError):
                    signals.FALLBACK.labels(error.edge, error.reason).inc()
                verdict, held_for = "held", "moderation"
            if verdict == "held":
                await self._settle(found.id, round, "held", held_for=held_for)
            return verdict

    @DBOS.step(name=INDEX)
    async def index(self, document: str) -> str | None:
        async with self._step(document, INDEX) as found:
            return await self._attempted(INDEX, lambda: self._parts.index(found))

    @DBOS.step(name=FAIL)
    async def fail(self, document: str, round: int, error: str) -> None:
        """From here on the caller knows, however long undoing takes."""
        async with self._step(document, FAIL) as found:
            await self._settle(found.id, round, "compensating", error=error)

    @DBOS.step(name=UNINDEX)
    async def unindex(self, document: str) -> None:
        async with self._step(document, UNINDEX) as found:
            await self._patience.however_long(lambda: self._parts.unindex(found))

    @DBOS.step(name=UNGENERATE)
    async def ungenerate(self, document: str) -> None:
        async with self._step(document, UNGENERATE) as found:
            await self._patience.however_long(lambda: self._parts.ungenerate(found))
            await self._keep(found.id, None)

    @DBOS.step(name=UNCREATE)
    async def uncreate(self, document: str) -> None:
        async with self._step(document, UNCREATE) as found:
            await self._patience.however_long(lambda: self._parts.uncreate(found))

    @DBOS.step(name=SETTLE)
    async def settle(self, document: str, round: int, state: State) -> None:
        async with self._step(document, SETTLE) as found:
            await self._settle(found.id, round, state)

    @asynccontextmanager
    async def _step(self, document: str, step: str) -> AsyncIterator[Document]:
        """The document, under the correlation id and in the trace of the request that wanted it."""

        async def begun() -> Document:
            async with database.transaction(self._pool) as connection:
                return await documents.begin(connection, UUID(document), step)

        # That of the request, which may have gone long ago.
        deadline.clear()
        found = await self._patience.however_long(begun)
        telemetry.CORRELATION_ID.set(found.headers.get(telemetry.CORRELATION_HEADER, ""))
        telemetry.USER_ID.set(str(found.user_id))
        context = telemetry.received_context((k.encode(), v.encode()) for k, v in found.headers.items())
        with telemetry.TRACER.start_as_current_span(step, context=context) as span:
            span.set_attribute("content.id", document)
            yield found

    async def _attempted(self, step: str, action: Callable[[], Awaitable[None]]) -> str | None:
        try:
            await self._patience.until_done(action)
        except PASSING as error:
            telemetry.logger("saga").warning(signals.LOG_SAGA_FAILED, step=step, error=str(error))
            return FAILED[step]
        return None

    async def _keep(self, document: UUID, body: str | None) -> None:
        async def written() -> None:
            async with database.transaction(self._pool) as connection:
                await documents.write(connection, document, body)

        await self._patience.however_long(written)

    async def _settle(
        self, document: UUID, round: int, state: State, *, error: str | None = None, held_for: HeldFor | None = None
    ) -> None:
        async def settled() -> bool:
            async with database.transaction(self._pool) as connection:
                return await documents.settle(connection, document, round, state, error=error, held_for=held_for)

        if await self._patience.however_long(settled):
            signals.SAGAS.labels(state).inc()
            telemetry.logger("saga").info(signals.LOG_SAGA, state=state, document=str(document), error=error)
        self._decided(document)
