"""One task, from its message to its callback. What was done once is not done again when the message comes again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from system.ai_worker.delivery import Courier, UndeliveredError
from system.ai_worker.destination import Guard, RefusedError
from system.ai_worker.documents import Documents
from system.ai_worker.ledger import Entry, Ledger
from system.ai_worker.summary import Summariser
from system.kit import client, signals, telemetry
from system.kit.client import UnavailableError
from system.kit.consumer import Handled, PoisonError, Received
from system.kit.tasks import SUMMARY, Outcome, Task

# An answer that cannot be read costs as much as one that can.
MISREAD_AT_MOST = 5
GROWTH = 3.0


class NotYetError(Exception):
    """The message has to come again later; nothing is wrong with it."""


@dataclass(frozen=True)
class Insistence:
    """How often a callback is tried, and the seconds before the second attempt and at most between two."""

    attempts: int
    wait: float
    longest: float

    def after(self, attempts: int, asked: float | None) -> timedelta:
        """Longer each time, with jitter, and not before the receiver `asked` for it."""
        wait = min(self.wait * GROWTH ** (attempts - 1), self.longest) * random.uniform(0.5, 1)  # noqa: S311 - jitter
        return timedelta(seconds=max(wait, asked or 0.0))


@dataclass(frozen=True)
class Worker:
    ledger: Ledger
    documents: Documents
    summariser: Summariser
    guard: Guard
    courier: Courier
    insistence: Insistence

    async def handle(self, task: Task, received: Received) -> Handled:
        """Raises PoisonError for what is set aside, NotYetError and UnavailableError for what is waited out."""
        del received
        entry = await self.ledger.find(task.id) or Entry(task=task)
        if entry.task != task:
            raise PoisonError(f"task {task.id} was another one before")
        if entry.state == "told":
            return "duplicate"
        if entry.state in ("untold", "refused"):
            # Somebody looked at it and brought it back.
            entry = Entry(task=task, outcome=entry.outcome)
        await self._admit(entry)
        if entry.outcome is None:
            entry = await self._done(entry)
        await self._tell(entry, entry.outcome)
        return "done"

    async def _admit(self, entry: Entry) -> None:
        if entry.task.type != SUMMARY:
            await self._refuse(entry, f"unknown task type {entry.task.type!r}; known is {SUMMARY}")
        try:
            self.guard.look(entry.task.callbackUrl)
        except RefusedError as error:
            await self._refuse(entry, f"callbackUrl: {error}")

    async def _refuse(self, entry: Entry, why: str) -> None:
        await self._close(entry.model_copy(update={"state": "refused", "error": why}))
        raise PoisonError(why)

    async def _done(self, entry: Entry) -> Entry:
        """With the outcome, which from here on is only told."""
        summary = error = None
        document = await self.documents.get(entry.task.documentId)
        if document is None:
            error = "there is no such document"
        else:
            try:
                summary = await self.summariser.summarise(document)
            except UnavailableError as problem:
                error = await self._hopeless(entry, problem)
        outcome = Outcome(
            taskId=entry.task.id,
            documentId=entry.task.documentId,
            status="failed" if error else "succeeded",
            summary=summary,
            model=self.summariser.name if summary else None,
            error=error,
            finishedAt=datetime.now(UTC),
        )
        entry = entry.model_copy(update={"state": "telling", "outcome": outcome})
        await self.ledger.write(entry)
        return entry

    async def _hopeless(self, entry: Entry, problem: UnavailableError) -> str:
        """Why it is of no use to ask the model again. Raises `problem` where it may be."""
        if isinstance(problem, client.RefusedError):
            return "the model does not take this document"
        if problem.reason != "schema":
            raise problem
        misread = entry.misread + 1
        if misread < MISREAD_AT_MOST:
            await self.ledger.write(entry.model_copy(update={"misread": misread}))
            raise problem
        return "the model gave no summary that could be read"

    async def _tell(self, entry: Entry, outcome: Outcome | None) -> None:
        assert outcome  # noqa: S101  the task is done
        if entry.due and entry.due > datetime.now(UTC):
            raise NotYetError(f"the next attempt is due at {entry.due:%H:%M:%S}")
        try:
            await self.courier.deliver(entry.task.callbackUrl, outcome)
        except RefusedError as error:
            await self._refuse(entry, f"callbackUrl: {error}")
        except UndeliveredError as error:
            await self._again(entry, error)
        await self._close(entry.model_copy(update={"state": "told", "error": None}))

    async def _again(self, entry: Entry, error: UndeliveredError) -> None:
        """Raises NotYetError, or PoisonError where it was tried often enough."""
        attempts = entry.attempts + 1
        due = datetime.now(UTC) + self.insistence.after(attempts, error.retry_after)
        tried = entry.model_copy(update={"attempts": attempts, "due": due, "error": str(error)})
        if error.final or attempts >= self.insistence.attempts:
            await self._close(tried.model_copy(update={"state": "untold"}))
            raise PoisonError(f"callback not delivered in {attempts} attempts: {error}")
        await self.ledger.write(tried)
        raise NotYetError(f"callback not delivered in {attempts} attempts: {error}")

    async def _close(self, entry: Entry) -> None:
        await self.ledger.write(entry)
        outcome = entry.outcome.status if entry.state == "told" and entry.outcome else entry.state
        signals.TASKS.labels(outcome).inc()
        log = telemetry.logger(entry.task.type).bind(taskId=str(entry.task.id), outcome=outcome)
        log.info(signals.LOG_TASK, attempts=entry.attempts + 1, error=entry.error)
