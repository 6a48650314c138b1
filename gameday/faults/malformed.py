"""A language model sends what is no JSON."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.model import ModelArguments, ModelFault


class MalformedArguments(ModelArguments):
    """From the event number `after` on; a whole message in any case."""

    after: int = Field(default=4, ge=0)


class Malformed(ModelFault):
    name = "malformed"
    takes = MalformedArguments
