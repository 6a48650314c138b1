"""A language model says that it is overloaded (529)."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.model import ModelArguments, ModelFault


class OverloadedArguments(ModelArguments):
    """The error asks to come back after `retry_after` s; None: it does not say."""

    retry_after: int | None = Field(default=None, ge=0)


class Overloaded(ModelFault):
    name = "overloaded"
    takes = OverloadedArguments
