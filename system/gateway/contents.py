"""Documents that users wish for: made by content-svc, completely or not at all."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from system.gateway import edges, policies
from system.gateway.accounts import CLIENT_ERROR, handed_on, unavailable
from system.gateway.exchange import Answer, Exchange
from system.gateway.front import BELOW, Route
from system.gateway.gateway import Gateway
from system.kit import client
from system.kit.client import UnavailableError
from system.kit.problem import ProblemError

PATH = policies.CONTENT.name
OK, CREATED, ACCEPTED = 200, 201, 202
REPEAT_KEY = "idempotency-key"


class ContentWanted(BaseModel):
    """Without a title, the first words of what is wanted are the title."""

    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000)]
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None


class Content(BaseModel):
    id: UUID
    userId: UUID
    title: str
    text: str
    createdAt: AwareDatetime


class ContentTold(BaseModel):
    """With `success` there is a `content`; else an `error`, and a `reason`, of which the last two are not the end."""

    success: bool
    id: UUID
    state: str
    content: Content | None = None
    reason: Literal["unsafe", "failed", "held", "running"] | None = None
    error: str | None = None


async def create(gateway: Gateway, asked: Exchange) -> Answer:
    """201 with the content; 200 where it was not made; 202 where that is not decided yet. A repeated key joins it."""
    wanted = (await asked.read(ContentWanted)).model_dump(exclude_none=True)
    key = asked.header(REPEAT_KEY.encode())
    headers = {} if key is None else {REPEAT_KEY: key}
    wish = {"userId": asked.sender.user, **wanted}
    timeout = policies.CONTENT.timeout
    return await _told(
        gateway, asked, "POST", "/content", json=wish, headers=headers, timeout=timeout, idempotent=key is not None
    )


async def show(gateway: Gateway, asked: Exchange) -> Answer:
    """What became of it so far, told to whoever wished for it; to everybody else there is no such content."""
    try:
        document = UUID(asked.below.removeprefix("/"))
    except ValueError:
        raise ProblemError(404, "there is no such content") from None
    path = f"/content/{document}?userId={asked.sender.user}"
    return await _told(gateway, asked, "GET", path, timeout=policies.CONTENT_SHOWN.timeout, idempotent=True)


async def _told(gateway: Gateway, asked: Exchange, method: str, path: str, **more: Any) -> Answer:
    """content-svc's own answer, if it is one. Raises ProblemError."""
    if not gateway.settings.content_url:
        raise ProblemError(503, "no content is made here")
    try:
        answer = await gateway.edges.content.call(method, path, **more)
        if answer.status < CLIENT_ERROR:
            _readable(answer)
    except UnavailableError as error:
        raise unavailable(error, "contents") from error
    return handed_on(asked, answer)


def _readable(answer: client.Answer) -> None:
    try:
        ContentTold.model_validate_json(answer.body)
    except ValidationError as error:
        raise UnavailableError(edges.CONTENT, "schema", str(error)) from error


ROUTES = (
    Route("POST", PATH, policies.CONTENT, create, ContentWanted, ContentTold, status=CREATED, also=(OK, ACCEPTED)),
    Route("GET", PATH + BELOW, policies.CONTENT_SHOWN, show, None, ContentTold),
)
