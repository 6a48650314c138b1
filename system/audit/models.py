"""What audit-svc takes and gives."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from system.audit.chain import Entry, Finding, Problem
from system.audit.state import Key, State, Total
from system.audit.trail import Wanted
from system.kit.decisions import Name

Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Filter(BaseModel):
    """A query, and the number at which its next page begins."""

    model_config = ConfigDict(extra="forbid")

    user: Name | None = None
    model: Name | None = None
    type: Name | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    before: Number | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50

    def wanted(self) -> Wanted:
        return Wanted(**self.model_dump(exclude={"limit"}))


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")

    userId: Name


class Recorded(BaseModel):
    """A decision in the trail. `forgotten`: what it said of a person is gone, with `userId`, `input` and `output`."""

    number: int
    id: UUID
    type: str
    model: str
    confidence: float | None
    timestamp: datetime
    recordedAt: datetime
    hash: str
    forgotten: bool
    userId: str | None
    input: dict[str, Any] | None
    output: dict[str, Any] | None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        content = json.loads(entry.personal.content) if entry.personal else {}
        return cls(
            number=entry.number,
            id=entry.id,
            type=entry.type,
            model=entry.model or "",
            confidence=None if entry.confidence is None else float(entry.confidence),
            timestamp=entry.occurred_at,
            recordedAt=entry.recorded_at,
            hash=entry.hash.hex(),
            forgotten=entry.personal is None,
            userId=content.get("userId"),
            input=content.get("input"),
            output=content.get("output"),
        )


class Page(BaseModel):
    """`next` as `before` gives the page that follows; None after the last."""

    decisions: list[Recorded]
    next: int | None


class Sum(BaseModel):
    """`confidence` is the mean over the decisions that have one."""

    userId: str | None
    model: str
    type: str
    decisions: int
    confidence: float | None
    last: datetime

    @classmethod
    def of(cls, key: Key, total: Total) -> Self:
        mean = float(total.confidence / total.confident) if total.confident else None
        return cls(
            userId=key.user, model=key.model, type=key.type, decisions=total.decisions, confidence=mean, last=total.last
        )


def sums(state: State) -> list[Sum]:
    return [Sum.of(key, state[key]) for key in sorted(state, key=lambda key: (key.user or "", key.model, key.type))]


class Replayed(BaseModel):
    """The state made anew from the trail up to `through`, against the one that was kept while it grew."""

    through: int
    groups: int
    same: bool
    differences: list[Sum]


class End(BaseModel):
    """Who notes this down can prove later that nothing before it was rewritten."""

    number: int
    hash: str


class Wrong(BaseModel):
    number: int
    id: UUID | None
    problem: Problem

    @classmethod
    def of(cls, finding: Finding) -> Self:
        return cls(number=finding.number, id=finding.id, problem=finding.problem)


class Verified(BaseModel):
    """`next` as `after` goes on with the verification; None at the end of the trail."""

    sound: bool
    checked: int
    next: int | None
    findings: list[Wrong]
    head: End | None


class Erasure(BaseModel):
    """How many decisions no longer say anything of the person."""

    forgotten: int
