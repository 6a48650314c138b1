"""Work that nobody waits for: taken here, done by ai-worker, told to `/webhook/summary`, shown to whoever asked."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from system.gateway import policies
from system.gateway.exchange import JSON, Answer, Exchange, Reply, reply, told
from system.gateway.front import BELOW, Route
from system.gateway.gateway import Gateway
from system.gateway.taskbook import Entry, Taken, TaskBook
from system.kit import signals, telemetry
from system.kit.bus import Bus
from system.kit.client import Edge, UnavailableError
from system.kit.problem import ProblemError, misfit
from system.kit.tasks import EVENT, Outcome, Task
from system.kit.webhook import Secrets, SignatureError

PATH, WEBHOOK = policies.TASKS.name, policies.WEBHOOK.name
ACCEPTED, NO_CONTENT = 202, 204
OK, NOT_FOUND, GONE = 200, 404, 410
KEY = re.compile(r"[!-~]{1,100}")
# Of ids that follow from a user and a key, so that the same wish is the same task.
NAMESPACE = UUID("6c1f3e5a-6a0e-4f0c-9a57-6f3d0a0a7c55")
RETRY = {"retry-after": "1"}


class TaskWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["generate-summary"]
    documentId: UUID


class TaskShown(BaseModel):
    """`queued` until the outcome is known, which may take as long as the language model is away."""

    id: UUID
    type: str
    documentId: UUID
    state: Literal["queued", "succeeded", "failed"]
    summary: str | None
    error: str | None
    takenAt: AwareDatetime
    finishedAt: AwareDatetime | None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        taken, outcome = entry.taken, entry.outcome
        return cls(
            id=taken.id,
            type=taken.type,
            documentId=taken.documentId,
            state=outcome.status if outcome else "queued",
            summary=outcome.summary if outcome else None,
            error=outcome.error if outcome else None,
            takenAt=taken.takenAt,
            finishedAt=outcome.finishedAt if outcome else None,
        )


class Owned(BaseModel):
    userId: str


@dataclass(frozen=True)
class Tasks:
    """`callback` is the address of the webhook as the worker knows it."""

    book: TaskBook
    bus: Bus
    documents: Edge
    secrets: Secrets
    callback: str

    async def take(self, taken: Taken) -> Entry:
        """The entry of a task that the broker has. Raises UnavailableError; then nothing was promised."""
        entry = await self.book.open(taken)
        if (entry.taken.type, entry.taken.documentId) != (taken.type, taken.documentId):
            raise ProblemError(422, "this Idempotency-Key was used for something else")
        if not entry.sent:
            wanted = Task(id=taken.id, type=taken.type, documentId=taken.documentId, callbackUrl=self.callback)
            await self.bus.publish(EVENT, wanted, message_id=taken.id)
            await self.book.sent(taken.id)
        return entry

    async def owned(self, document: UUID, user: str) -> bool:
        """Whether there is such a document, and `user` owns it. Raises UnavailableError."""
        path, timeout = f"/internal/documents/{document}", policies.TASKS.timeout
        answer = await self.documents.call("GET", path, timeout=timeout, idempotent=True)
        if answer.status in (NOT_FOUND, GONE):
            return False
        if answer.status != OK:
            raise UnavailableError(self.documents.name, "status", str(answer.status))
        try:
            return Owned.model_validate_json(answer.body).userId == user
        except ValidationError as error:
            raise UnavailableError(self.documents.name, "schema") from error

    def believed(self, headers: dict[str, str], body: bytes) -> Outcome:
        """What a callback tells. Raises SignatureError, ProblemError."""
        delivery = self.secrets.verify(headers, body, time.time())
        try:
            outcome = Outcome.model_validate_json(body)
        except ValidationError as error:
            raise misfit(error.errors(include_url=False, include_input=False), "body") from error
        if delivery != str(outcome.taskId):
            raise ProblemError(422, "the webhook-id is not that of the task")
        return outcome


async def take(gateway: Gateway, asked: Exchange) -> Answer:
    """202 once nothing can lose the task any more. The same Idempotency-Key again is the same task."""
    tasks, user = _tasks(gateway), asked.sender.user
    wanted = await asked.read(TaskWanted)
    id_ = _id(user, asked.header(b"idempotency-key"))
    try:
        if not await tasks.owned(wanted.documentId, user):
            raise ProblemError(404, "there is no such document")
        taken = Taken(id=id_, owner=user, type=wanted.type, documentId=wanted.documentId, takenAt=datetime.now(UTC))
        entry = await tasks.take(taken)
    except UnavailableError as error:
        raise _unavailable(error) from error
    location = (b"location", f"{PATH}/{id_}".encode())
    body = TaskShown.of(entry).model_dump_json().encode()
    return Reply(ACCEPTED, body, [(b"content-type", JSON), location, *told(asked)])


async def show(gateway: Gateway, asked: Exchange) -> Answer:
    """To whoever asked for it; to everybody else there is no such task."""
    try:
        entry = await _tasks(gateway).book.find(_parsed(asked.below))
    except UnavailableError as error:
        raise _unavailable(error) from error
    if entry is None or entry.taken.owner != asked.sender.user:
        raise ProblemError(404, "there is no such task")
    return reply(asked, TaskShown.of(entry), [(b"cache-control", b"no-store")])


async def hear(gateway: Gateway, asked: Exchange) -> Answer:
    """The outcome of a task, told by ai-worker. Heard once, however often it is told."""
    tasks = _tasks(gateway)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in asked.headers.items()}
    try:
        outcome = tasks.believed(headers, await asked.body())
    except SignatureError as error:
        signals.WEBHOOKS.labels(error.reason).inc()
        telemetry.logger("webhook").warning(signals.LOG_WEBHOOK_REFUSED, reason=error.reason)
        raise ProblemError(401, f"the signature is {error.reason}") from error
    try:
        if await tasks.book.find(outcome.taskId) is None:
            signals.WEBHOOKS.labels("unknown").inc()
            raise ProblemError(404, "there is no such task")
        first = await tasks.book.close(outcome)
    except UnavailableError as error:
        raise _unavailable(error) from error
    signals.WEBHOOKS.labels("accepted" if first else "duplicate").inc()
    return Reply(NO_CONTENT, b"", [])


def _tasks(gateway: Gateway) -> Tasks:
    if gateway.tasks is None:
        raise ProblemError(503, "no tasks are taken here")
    return gateway.tasks


def _id(user: str, key: str | None) -> UUID:
    if key is None:
        return uuid.uuid4()
    if not KEY.fullmatch(key):
        raise ProblemError(422, "an Idempotency-Key has 1 to 100 printable characters, and no spaces")
    return uuid.uuid5(NAMESPACE, f"{user}\0{key}")


def _parsed(below: str) -> UUID:
    try:
        return UUID(below.removeprefix("/"))
    except ValueError:
        raise ProblemError(404, "there is no such task") from None


def _unavailable(error: UnavailableError) -> ProblemError:
    return ProblemError(503, f"tasks cannot be reached now: {error.edge}", headers=RETRY)


ROUTES = (
    Route("POST", PATH, policies.TASKS, take, TaskWanted, TaskShown, status=ACCEPTED),
    Route("GET", PATH + BELOW, policies.TASKS_SHOWN, show, None, TaskShown),
    Route("POST", WEBHOOK, policies.WEBHOOK, hear, Outcome, None, status=NO_CONTENT),
)
