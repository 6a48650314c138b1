"""What content-svc takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from system.content.documents import Document, State
from system.content.saga import UNSAFE

HELD = "Content is held for review"
RUNNING = "Content is still being made"
TITLE_LENGTH = 80


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold a NUL character")
    return value


STORABLE = AfterValidator(_storable)


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewDocument(Input):
    """Without a title, the first words of what is wanted are the title."""

    userId: UUID
    # As much as chat-svc takes.
    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000), STORABLE]
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), STORABLE] | None = (
        None
    )

    def titled(self) -> str:
        return self.title or self.prompt.split("\n")[0][:TITLE_LENGTH].strip()


class Content(BaseModel):
    id: UUID
    userId: UUID
    title: str
    text: str
    createdAt: datetime

    @classmethod
    def of(cls, document: Document) -> Self:
        return cls(
            id=document.id,
            userId=document.user_id,
            title=document.title,
            text=document.body or "",
            createdAt=document.created_at,
        )


class Published(BaseModel):
    success: Literal[True] = True
    id: UUID
    state: State
    content: Content


class Unpublished(BaseModel):
    """`reason`: it is `unsafe`, or could not be made because something `failed`, or it is not decided yet."""

    success: Literal[False] = False
    id: UUID
    state: State
    reason: Literal["unsafe", "failed", "held", "running"]
    error: str


def answer(document: Document) -> Published | Unpublished:
    if document.state == "published":
        return Published(id=document.id, state=document.state, content=Content.of(document))
    if document.state == "held":
        return Unpublished(id=document.id, state=document.state, reason="held", error=HELD)
    if document.error is None:
        return Unpublished(id=document.id, state=document.state, reason="running", error=RUNNING)
    reason: Literal["unsafe", "failed"] = "unsafe" if document.error == UNSAFE else "failed"
    return Unpublished(id=document.id, state=document.state, reason=reason, error=document.error)


class Counted(BaseModel):
    """Of all documents: what became of them so far, and how many unfinished ones have not moved for minutes."""

    started: int
    running: int
    held: int
    published: int
    compensating: int
    compensated: int
    stuck: int


class Torn(BaseModel):
    """A document of which there is a part that should not be there, or one missing that should."""

    id: UUID
    state: State
    record: bool
    item: bool


class Checked(BaseModel):
    """Ended sagas against what user-svc and search-svc really have."""

    checked: int
    torn: list[Torn]
