"""Vectors beside the items, in PostgreSQL's table `vectors` with an HNSW index."""

from __future__ import annotations

from system.kit import database
from system.search.embedder import Vector

# How many candidates the index keeps while it looks: never fewer than are asked for, which 40 by default would be.
EF_SEARCH = 100
NEAREST = "SELECT item_id FROM vectors ORDER BY embedding <=> %s::vector LIMIT %s"


class PgVector:
    def __init__(self, pool: database.Pool) -> None:
        self._pool = pool

    async def put(self, item: str, vector: Vector) -> None:
        """The item's row is held meanwhile, so that it cannot be gone before its vector is there."""
        async with database.transaction(self._pool) as connection:
            await connection.execute(
                """INSERT INTO vectors SELECT id, %s::vector FROM items WHERE id = %s FOR KEY SHARE
                    ON CONFLICT (item_id) DO UPDATE SET embedding = excluded.embedding""",
                (literal(vector), item),
            )

    async def remove(self, item: str) -> None:
        async with database.transaction(self._pool) as connection:
            await connection.execute("DELETE FROM vectors WHERE item_id = %s", (item,))

    async def nearest(self, vector: Vector, limit: int) -> list[str]:
        async with database.transaction(self._pool) as connection:
            await connection.execute(f"SET LOCAL hnsw.ef_search = {EF_SEARCH}")
            cursor = await connection.execute(NEAREST, (literal(vector), limit))
            return [row["item_id"] for row in await cursor.fetchall()]

    async def close(self) -> None:
        """The pool is closed by who opened it."""


def literal(vector: Vector) -> str:
    return f"[{','.join(map(str, vector.tolist()))}]"
