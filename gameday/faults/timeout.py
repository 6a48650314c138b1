"""Nothing on an edge gets through, as Toxiproxy's `timeout`."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.arguments import ToxicArguments
from gameday.faults.edge import EdgeFault


class TimeoutArguments(ToxicArguments):
    """The connection is closed after `timeout` ms; 0: it stays open and silent."""

    timeout: float = Field(default=0, ge=0, le=3_600_000)


class Timeout(EdgeFault):
    name = "timeout"
    takes = TimeoutArguments
