"""Decisions that a service told, kept for a test to look at."""

from __future__ import annotations

from typing import Any


class Told:
    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def tell(self, kind: str, **fields: Any) -> None:
        self.all.append({"type": kind, **fields})
