"""Everything on an edge comes late, as Toxiproxy's `latency`."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.arguments import ToxicArguments
from gameday.faults.edge import EdgeFault


class LatencyArguments(ToxicArguments):
    """Each chunk waits `latency` +- `jitter` ms."""

    latency: float = Field(gt=0, le=3_600_000)
    jitter: float = Field(default=0, ge=0, le=3_600_000)


class Latency(EdgeFault):
    name = "latency"
    takes = LatencyArguments
