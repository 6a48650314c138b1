"""Connections of an edge are reset (TCP RST) once data flows, as Toxiproxy's `reset_peer`."""

from __future__ import annotations

from pydantic import Field

from gameday.faults.arguments import ToxicArguments
from gameday.faults.edge import EdgeFault


class ResetPeerArguments(ToxicArguments):
    """The reset comes `timeout` ms after the first data."""

    timeout: float = Field(default=0, ge=0, le=3_600_000)


class ResetPeer(EdgeFault):
    name = "reset_peer"
    takes = ResetPeerArguments
