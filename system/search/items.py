"""The items in PostgreSQL, as one function a statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from system.kit.database import Connection


@dataclass(frozen=True)
class Stored:
    id: str
    title: str
    text: str
    revision: int

    @property
    def meaning(self) -> str:
        """What is embedded."""
        return f"{self.title}. {self.text}" if self.text else self.title


class RetiredError(Exception):
    """The item was removed for good."""


async def put(connection: Connection, item: str, title: str, text: str) -> Stored:
    """Adds the item, or replaces it; then its vector is no longer that of its text. The first revision is 1.

    Raises RetiredError.
    """
    await _lock(connection, item)
    retired = await connection.execute("SELECT FROM retired WHERE id = %s", (item,))
    if await retired.fetchone() is not None:
        raise RetiredError(item)
    async with connection.cursor(row_factory=class_row(Stored)) as cursor:
        await cursor.execute(
            """INSERT INTO items (id, title, text) VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE
                SET title = excluded.title, text = excluded.text, revision = items.revision + 1, embedded_by = NULL
                RETURNING id, title, text, revision""",
            (item, title, text),
        )
        stored = await cursor.fetchone()
    assert stored  # noqa: S101
    return stored


async def remove(connection: Connection, item: str) -> None:
    await connection.execute("DELETE FROM items WHERE id = %s", (item,))


async def retire(connection: Connection, item: str) -> None:
    """Removes the item, also where there is none yet, so that it cannot be added again."""
    await _lock(connection, item)
    await connection.execute("INSERT INTO retired (id) VALUES (%s) ON CONFLICT DO NOTHING", (item,))
    await remove(connection, item)


async def one(connection: Connection, item: str) -> Stored | None:
    async with connection.cursor(row_factory=class_row(Stored)) as cursor:
        await cursor.execute("SELECT id, title, text, revision FROM items WHERE id = %s", (item,))
        return await cursor.fetchone()


async def _lock(connection: Connection, item: str) -> None:
    """Who adds an item and who retires it, at the same time, do so one after the other."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (item,))


async def matching(connection: Connection, query: str, limit: int) -> list[str]:
    """Ids of the items that have any word of the query, by how often and where they have them."""
    cursor = await connection.execute(
        """WITH wanted AS (SELECT replace(plainto_tsquery('english', %s)::text, ' & ', ' | ')::tsquery AS words)
            SELECT id FROM items, wanted WHERE items.words @@ wanted.words
            ORDER BY ts_rank(items.words, wanted.words) DESC, id LIMIT %s""",
        (query, limit),
    )
    return [row["id"] for row in await cursor.fetchall()]


async def titles(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Of those items that there are."""
    cursor = await connection.execute("SELECT id, title FROM items WHERE id = ANY(%s)", (list(ids),))
    return {row["id"]: row["title"] for row in await cursor.fetchall()}


async def pending(connection: Connection, version: str, limit: int) -> list[Stored]:
    """Items without a vector by the model `version`."""
    async with connection.cursor(row_factory=class_row(Stored)) as cursor:
        await cursor.execute(
            """SELECT id, title, text, revision FROM items
                WHERE embedded_by IS DISTINCT FROM %s ORDER BY id LIMIT %s""",
            (version, limit),
        )
        return await cursor.fetchall()


async def embedded(connection: Connection, item: Stored, version: str) -> None:
    """Its vector is stored. Where the item changed meanwhile, it may be the wrong one: it must be made again."""
    await connection.execute(
        "UPDATE items SET embedded_by = CASE WHEN revision = %s THEN %s END WHERE id = %s",
        (item.revision, version, item.id),
    )
