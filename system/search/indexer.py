"""Keeps every item's vector up to date with its text and with the model."""

from __future__ import annotations

import asyncio

from system.kit import database, signals, telemetry
from system.kit.client import UnavailableError
from system.search import items
from system.search.embedding import Embedding
from system.search.items import Stored
from system.search.vectors import VectorStore

AT_ONCE = 50


class Indexer:
    def __init__(self, pool: database.Pool, embedding: Embedding, vectors: VectorStore) -> None:
        self._pool = pool
        self._embedding = embedding
        self._vectors = vectors

    async def put(self, item: str, title: str, text: str) -> tuple[Stored, bool]:
        """The stored item, and whether it is already found by its meaning. Raises DatabaseDownError, RetiredError."""
        async with database.transaction(self._pool) as connection:
            stored = await items.put(connection, item, title, text)
        try:
            await self._embed(stored)
        except UnavailableError:
            # Counted and logged where it happened; keep_up does it when it can be done.
            return stored, False
        return stored, True

    async def remove(self, item: str, *, for_good: bool = False) -> None:
        """Raises DatabaseDownError, UnavailableError; then the item may still be there, and removing it again helps."""
        await self._vectors.remove(item)
        async with database.transaction(self._pool) as connection:
            await (items.retire if for_good else items.remove)(connection, item)

    async def keep_up(self, interval: float) -> None:
        """Embeds what is not, looking every `interval` seconds. Runs for as long as the service does."""
        while True:
            try:
                await self._catch_up()
            except (UnavailableError, database.DatabaseDownError) as error:
                telemetry.logger("index").warning(signals.LOG_INDEX_BEHIND, error=str(error))
            await asyncio.sleep(interval)

    async def _catch_up(self) -> None:
        while self._embedding.version is not None:
            async with database.transaction(self._pool) as connection:
                pending = await items.pending(connection, self._embedding.version, AT_ONCE)
            for item in pending:
                await self._embed(item)
            if len(pending) < AT_ONCE:
                return

    async def _embed(self, item: Stored) -> None:
        version = self._embedding.version
        vector = await self._embedding.embed(item.meaning)
        await self._vectors.put(item.id, vector)
        async with database.transaction(self._pool) as connection:
            await items.embedded(connection, item, str(version))
