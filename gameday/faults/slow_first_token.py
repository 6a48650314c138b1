"""A language model is long before it begins to answer."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.model import ModelArguments, ModelFault


class SlowFirstTokenArguments(ModelArguments):
    """The first token comes `seconds` later."""

    seconds: float = Field(default=10.0, gt=0, le=3600)


class SlowFirstToken(ModelFault):
    name = "slow-first-token"
    takes = SlowFirstTokenArguments
