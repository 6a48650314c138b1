"""What user-svc takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from system.kit.tokens import Tier


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold a NUL character")
    return value


STORABLE = AfterValidator(_storable)

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
    STORABLE,
]
Password = Annotated[str, StringConstraints(min_length=8, max_length=256)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), STORABLE]
Interest = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50), STORABLE]
Interests = Annotated[list[Interest], Field(max_length=50)]


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignUp(Input):
    email: Email
    password: Password
    name: Name
    interests: Interests = []


class Login(Input):
    email: Email
    password: Annotated[str, StringConstraints(max_length=256)]


class Refresh(Input):
    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ProfileChange(Input):
    name: Name | None = None
    interests: Interests | None = None


class TierChange(Input):
    tier: Tier


class NewPurchase(Input):
    itemId: Annotated[str, StringConstraints(min_length=1, max_length=64), STORABLE]
    priceCents: int = Field(default=0, ge=0, le=100_000_000)
    quantity: int = Field(default=1, ge=1, le=1000)


class NewContent(Input):
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), STORABLE]
    body: Annotated[str, StringConstraints(max_length=100_000), STORABLE]


class Row(BaseModel):
    """Read from a row of the database by its columns, given out in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)

    id: UUID
    created_at: datetime


class Purchase(Row):
    item_id: str
    price_cents: int
    quantity: int


class Content(Row):
    title: str
    body: str


class Profile(BaseModel):
    id: UUID
    email: str
    name: str
    tier: Tier
    roles: list[str]
    interests: list[str]
    created_at: datetime


class Address(BaseModel):
    email: str
    name: str


class Tokens(BaseModel):
    """`expires_in` in seconds, of the access token."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
