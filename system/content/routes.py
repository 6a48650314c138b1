"""The HTTP side of content-svc."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from system.content import documents, models
from system.content.documents import Document, Wish
from system.content.models import Checked, Content, Counted, NewDocument, Published, Torn, Unpublished
from system.content.parts import Parts
from system.content.sagas import AT_ONCE, Sagas
from system.content.settings import ContentSettings
from system.kit import database, telemetry
from system.kit.client import UnavailableError
from system.kit.problem import ProblemError

router = APIRouter()

CREATED, ACCEPTED = 201, 202
RepeatKey = Annotated[str | None, Header(alias="idempotency-key", max_length=100, pattern=r"^[!-~]+$")]


@dataclass(frozen=True)
class Context:
    """What the routes work with, hung on the app at start."""

    settings: ContentSettings
    pool: database.Pool
    sagas: Sagas
    parts: Parts


async def context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


Contents = Annotated[Context, Depends(context)]


@router.post("/content", responses={CREATED: {"model": Published}, ACCEPTED: {"model": Unpublished}})
async def create(
    contents: Contents, wanted: NewDocument, response: Response, repeat_key: RepeatKey = None
) -> Published | Unpublished:
    """Answers as soon as it is decided what becomes of it: 202 where that takes too long, or a person has to decide.

    A request that repeats an Idempotency-Key joins the saga that the first one began.
    """
    wish = Wish(wanted.userId, repeat_key or uuid.uuid4().hex, wanted.titled(), wanted.prompt)
    try:
        async with database.transaction(contents.pool) as connection:
            document, new = await documents.add(connection, wish, telemetry.outgoing_headers())
    except documents.OtherDocumentError as error:
        raise ProblemError(422, "this Idempotency-Key was used for something else") from error
    if new:
        contents.sagas.begin(document)
    document = await contents.sagas.outcome(document, contents.settings.answer_seconds)
    if document.state in ("running", "held"):
        response.status_code = ACCEPTED
    elif document.state == "published" and new:
        response.status_code = CREATED
    return models.answer(document)


@router.get("/content/{document}")
async def state(contents: Contents, document: uuid.UUID, userId: uuid.UUID) -> Published | Unpublished:
    """What became of it so far; 404 where it is somebody else's."""
    found = await _found(contents, document)
    if found.user_id != userId:
        raise ProblemError(404, "there is no such content")
    return models.answer(found)


@router.get("/internal/documents/{document}")
async def published(contents: Contents, document: uuid.UUID) -> Content:
    found = await _found(contents, document)
    if found.state != "published":
        raise ProblemError(404, "there is no such content")
    return Content.of(found)


@router.post("/internal/documents/{document}/review", status_code=ACCEPTED)
async def review(contents: Contents, document: uuid.UUID) -> Unpublished | Published:
    """Asks moderation-svc at once for a verdict on what is held, as after a person's ruling."""
    async with database.transaction(contents.pool) as connection:
        found = await documents.resume(connection, document)
    if found is None:
        await _found(contents, document)
        raise ProblemError(409, "this content is not held")
    contents.sagas.begin(found)
    return models.answer(await contents.sagas.outcome(found, contents.settings.answer_seconds))


@router.get("/internal/sagas")
async def sagas(contents: Contents) -> Counted:
    async with database.transaction(contents.pool) as connection:
        counts = await documents.count(connection)
        stuck = await documents.unfinished(connection, contents.settings.saga_stuck_seconds, AT_ONCE)
    return Counted(started=sum(counts.values()), stuck=len(stuck), **counts)


@router.get("/internal/sagas/check")
async def check(contents: Contents, limit: Annotated[int, Query(ge=1, le=AT_ONCE)] = 50) -> Checked:
    """Asks user-svc and search-svc what they have of the documents that ended last: both parts, or neither."""
    async with database.transaction(contents.pool) as connection:
        ended = await documents.recent(connection, limit)
    try:
        torn = [part for each in ended if (part := await _torn(contents.parts, each))]
    except UnavailableError as error:
        raise ProblemError(503, f"{error.edge} cannot be asked now", headers={"retry-after": "1"}) from error
    return Checked(checked=len(ended), torn=torn)


async def _torn(parts: Parts, document: Document) -> Torn | None:
    record, item = await asyncio.gather(parts.has_record(document), parts.has_item(document))
    if record == item == (document.state == "published"):
        return None
    return Torn(id=document.id, state=document.state, record=record, item=item)


async def _found(contents: Context, document: uuid.UUID) -> Document:
    async with database.transaction(contents.pool) as connection:
        found = await documents.get(connection, document)
    if found is None:
        raise ProblemError(404, "there is no such content")
    return found
