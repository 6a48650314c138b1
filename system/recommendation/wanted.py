"""What callers ask for, by REST or gRPC."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Limit = Annotated[int, Field(ge=1, le=100)]
UserId = Annotated[str, Field(min_length=1, max_length=128)]
DEFAULT_LIMIT = 10


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    userId: UserId
    limit: Limit = DEFAULT_LIMIT
