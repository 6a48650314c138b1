"""Connections of an edge are closed in the middle of an answer, as Toxiproxy's `limit_data`."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.arguments import ToxicArguments
from gameday.faults.edge import EdgeFault


class LimitDataArguments(ToxicArguments):
    """A connection is closed once `bytes` have passed."""

    bytes: int = Field(ge=0)


class LimitData(EdgeFault):
    name = "limit_data"
    takes = LimitDataArguments
