"""Connections of an edge end late, as Toxiproxy's `slow_close`."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.arguments import ToxicArguments
from gameday.faults.edge import EdgeFault


class SlowCloseArguments(ToxicArguments):
    """The end of a connection comes `delay` ms late."""

    delay: float = Field(gt=0, le=3_600_000)


class SlowClose(EdgeFault):
    name = "slow_close"
    takes = SlowCloseArguments
