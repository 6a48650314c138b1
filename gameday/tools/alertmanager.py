"""The notifications that Alertmanager delivered, as the supervisor's webhook stored them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any


class Notifications:
    """Follows `alerts.jsonl`, from its present end on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def fresh(self) -> Iterator[dict[str, Any]]:
        """The data of an `alert` record for each notification since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # it is still being written
                self._offset += len(line)
                record = json.loads(line)
                if record["kind"] == "alert":
                    yield notification(record["data"], record["wall"])


def notification(data: dict[str, Any], received: float) -> dict[str, Any]:
    """With the times in epoch seconds: `started_wall`, `received_wall`."""
    return {
        "name": data["name"],
        "status": data["status"],
        "labels": data["labels"],
        "startsAt": data["startsAt"],
        "endsAt": data["endsAt"],
        "started_wall": datetime.fromisoformat(data["startsAt"]).timestamp(),
        "received_wall": received,
    }
