"""Vectors in a Pinecone index of 384 dimensions and the metric cosine. Needs the package `pinecone`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from system.search.embedder import Vector
from system.search.guard import Guard

if TYPE_CHECKING:
    from pinecone import AsyncIndex, AsyncPinecone

EDGE = "search-svc->pinecone"


class PineconeStore:
    """Through Pinecone's own client, less its retries: a search cannot wait for them, and indexing has its own."""

    def __init__(self, client: AsyncPinecone, index: AsyncIndex, guard: Guard) -> None:
        self._client = client
        self._index = index
        self._guard = guard

    async def put(self, item: str, vector: Vector) -> None:
        await self._guard.ask(lambda: self._index.upsert(vectors=[(item, vector.tolist())], show_progress=False))

    async def remove(self, item: str) -> None:
        await self._guard.ask(lambda: self._index.delete(ids=[item]))

    async def nearest(self, vector: Vector, limit: int) -> list[str]:
        found = await self._guard.ask(lambda: self._index.query(vector=vector.tolist(), top_k=limit))
        return [match.id for match in found.matches]

    async def close(self) -> None:
        await self._index.close()
        await self._client.close()


async def connect(api_key: str, host: str, guard: Guard) -> PineconeStore:
    # Only here: who keeps vectors in PostgreSQL needs no such package.
    from pinecone import AsyncPinecone, RetryConfig

    client = AsyncPinecone(api_key=api_key, retry_config=RetryConfig(max_retries=0))
    return PineconeStore(client, await client.index(host=host), guard)
