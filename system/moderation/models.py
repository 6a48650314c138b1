"""What moderation-svc takes and gives."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from system.kit.decisions import Name

Category = Literal["violence", "self-harm", "hate", "sexual", "illegal", "fraud"]
Decided = Literal["allowed", "refused"]
Verdict = Literal["allowed", "refused", "held"]
# Who gave a verdict; `nobody` where it is held because the model could not be asked, or was not understood.
Source = Literal["block-list", "model", "reviewer", "nobody"]
Confidence = Annotated[float, Field(ge=0, le=1)]
ReviewId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Content(Input):
    """`contentId` is the caller's own name for it: the same content asked twice is held once."""

    contentId: Name
    text: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class Checked(BaseModel):
    """`confidence` is that of the verdict; None where no model had a say. `reviewId` finds what is held."""

    contentId: str
    verdict: Verdict
    source: Source
    categories: list[Category] = []
    reason: str
    confidence: Confidence | None = None
    reviewId: str | None = None


class Ruling(Input):
    """A person's word on what is held."""

    verdict: Decided
    reviewer: Name
    note: Annotated[str, StringConstraints(max_length=1000)] = ""


class Ruled(Ruling):
    decidedAt: AwareDatetime


class Review(BaseModel):
    """One content that a person has to look at, or has looked at."""

    id: str
    contentId: str
    userId: str | None
    text: str
    categories: list[Category]
    reason: str
    heldAt: AwareDatetime
    ruling: Ruled | None = None


class Reviews(BaseModel):
    """The oldest first; `waiting` is how many there are in all."""

    waiting: int
    reviews: list[Review]
