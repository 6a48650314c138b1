"""How a table of services looks, while starting and in `gameday status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Column, Table
from rich.text import Text

COLOURS = {"healthy": "green", "starting": "yellow", "pending": "dim", "unhealthy": "red", "exited": "red"}


def table(services: list[Mapping[str, Any]]) -> Table:
    shown = Table("service", "state", "address", "pid", Column("MiB", justify="right"), "", box=None, pad_edge=False)
    for service in services:
        shown.add_row(
            service["name"],
            Text(service["state"], style=COLOURS.get(service["state"], "")),
            service["url"] or "",
            str(service["pid"] or ""),
            "" if service["pss_mb"] is None else f"{service['pss_mb']:.1f}",
            Text("" if service["state"] == "healthy" else service["detail"], style="dim"),
        )
    return shown
