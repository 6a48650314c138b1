"""What search-svc takes and gives."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold a NUL character")
    return value


STORABLE = AfterValidator(_storable)

# No person's query is longer, and the model reads no more of one.
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), STORABLE]
Limit = Annotated[int, Field(ge=1, le=50)]
ItemId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Wanted(Input):
    query: Query
    limit: Limit = 10


class NewItem(Input):
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), STORABLE]
    text: Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000), STORABLE] = ""


class Item(BaseModel):
    """`score` orders the items of one answer and means nothing beyond it."""

    id: str
    title: str
    score: float


class Found(BaseModel):
    """`source` is `fallback` where the words alone decided, because the meaning could not be asked."""

    items: list[Item]
    source: Literal["hybrid", "fallback"]


class Indexed(BaseModel):
    """An item that is not `embedded` yet is found by its words, and by its meaning as soon as that can be computed."""

    id: str
    embedded: bool
