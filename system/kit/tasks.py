"""Work for a language model that nobody waits for: what is asked by a message, and what is told by a callback."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

EVENT = "ai-tasks"
SUMMARY = "generate-summary"
URL_LENGTH = 2048


class Task(BaseModel):
    """One message of `ai-tasks`. The id is also the message's: whoever sends a task again sends the same one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: UUID
    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    documentId: UUID
    callbackUrl: Annotated[str, StringConstraints(min_length=1, max_length=URL_LENGTH)]


class Outcome(BaseModel):
    """The body of a callback. `failed` says why in `error`, in words for whoever asked."""

    model_config = ConfigDict(frozen=True)

    taskId: UUID
    documentId: UUID
    status: Literal["succeeded", "failed"]
    summary: str | None = None
    model: str | None = None
    error: str | None = None
    finishedAt: AwareDatetime
