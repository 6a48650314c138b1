"""An edge carries little at a time, as Toxiproxy's `bandwidth`."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.arguments import ToxicArguments
from gameday.faults.edge import EdgeFault


class BandwidthArguments(ToxicArguments):
    """At most `rate` kB (1000 bytes) a second."""

    rate: float = Field(gt=0, le=1_000_000)


class Bandwidth(EdgeFault):
    name = "bandwidth"
    takes = BandwidthArguments
