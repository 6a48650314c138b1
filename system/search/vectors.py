"""Where the items' vectors are kept, and which of them are near another."""

from __future__ import annotations

from typing import Protocol

from system.search.embedder import Vector


class VectorStore(Protocol):
    """Each method raises UnavailableError or DatabaseDownError where the store does not answer in time."""

    async def put(self, item: str, vector: Vector) -> None:
        """Replaces a vector that the item already has."""

    async def remove(self, item: str) -> None:
        """An item without a vector is none the less removed."""

    async def nearest(self, vector: Vector, limit: int) -> list[str]:
        """Ids by cosine, the nearest first. Some may be of items that are gone meanwhile."""

    async def close(self) -> None: ...
