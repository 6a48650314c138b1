"""What a model decided, as it is told to the audit trail."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

EVENT = "ai-decisions"


class Personal:
    """Marks a field that says something about a person: it must be possible to forget it."""


def _name(longest: int, pattern: str) -> StringConstraints:
    return StringConstraints(min_length=1, max_length=longest, pattern=pattern)


# Anything that prints, so that it can be stored, shown and compared.
Name = Annotated[str, _name(128, r"^[^\x00-\x1f]+$")]


class Decision(BaseModel):
    """One decision of one model. docs/audit.md defines the types and, for each, what its `confidence` means.

    None for `userId`: for nobody, or nobody known. None for `confidence`: no model had a say.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    id: UUID
    type: Annotated[str, _name(64, r"^[A-Z][A-Z_]*$")]
    userId: Annotated[Name | None, Personal()] = None
    model: Name
    input: Annotated[dict[str, JsonValue], Personal()]
    output: Annotated[dict[str, JsonValue], Personal()]
    confidence: Annotated[float, Field(ge=0, le=1)] | None
    timestamp: AwareDatetime

    @model_validator(mode="after")
    def _storable(self) -> Self:
        canonical(self.personal())
        return self

    def personal(self) -> dict[str, Any]:
        """The fields that are marked as personal."""
        marked = (name for name, field in type(self).model_fields.items() if _is_personal(field.metadata))
        return {name: getattr(self, name) for name in marked}

    @property
    def occurred_at(self) -> datetime:
        return self.timestamp.astimezone(UTC)


def canonical(value: Any) -> str:
    """JSON of which there is one spelling, so that it can be hashed. Raises ValueError for what is no JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _is_personal(metadata: list[Any]) -> bool:
    return any(isinstance(mark, Personal) for mark in metadata)
