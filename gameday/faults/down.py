"""An edge is cut: new connections are reset at once, open ones closed, as Toxiproxy's disabled proxy."""

from __future__ import annotations

from gameday.faults.edge import EdgeFault


class Down(EdgeFault):
    name = "down"
