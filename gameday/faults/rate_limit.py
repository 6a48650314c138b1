"""A language model refuses what is too much (429), with `retry-after`."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.model import ModelArguments, ModelFault


class RateLimitArguments(ModelArguments):
    """The error asks to come back after `retry_after` s."""

    retry_after: int = Field(default=1, ge=0)


class RateLimit(ModelFault):
    name = "rate-limit"
    takes = RateLimitArguments
