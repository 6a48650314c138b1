"""A language model answers at great length, and bills for it."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.model import ModelArguments, ModelFault


class TokenBurnArguments(ModelArguments):
    """Answers are `factor` times as long."""

    factor: int = Field(default=20, ge=2, le=1000)


class TokenBurn(ModelFault):
    name = "token-burn"
    takes = TokenBurnArguments
