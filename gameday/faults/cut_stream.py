"""A language model breaks off in the middle of an answer."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.model import ModelArguments, ModelFault


class CutStreamArguments(ModelArguments):
    """The connection ends after `events` events of a stream; a whole message is not sent at all."""

    events: int = Field(default=5, ge=0)


class CutStream(ModelFault):
    name = "cut-stream"
    takes = CutStreamArguments
