"""What people search for, and what search-svc finds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Words = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$", strict=True)
]
Limit = Annotated[int, Field(ge=1, le=50)]


class SearchWanted(BaseModel):
    """As search-svc takes it."""

    model_config = ConfigDict(extra="forbid")

    query: Words
    limit: Limit = 10


class Hit(BaseModel):
    id: str
    title: str
    score: float


class Found(BaseModel):
    """`fallback`: the words alone decided, since search-svc could not ask for the meaning."""

    items: list[Hit]
    source: Literal["hybrid", "fallback"]
