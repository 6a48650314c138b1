"""The documents in PostgreSQL, as one function a statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from system.kit.database import Connection, Row

State = Literal["running", "held", "published", "compensating", "compensated"]
HeldFor = Literal["verdict", "moderation"]

STATES: tuple[State, ...] = ("running", "held", "published", "compensating", "compensated")


class OtherDocumentError(Exception):
    """The key was used before, for something else."""


@dataclass(frozen=True)
class Document:
    """`error` is known as soon as it is decided that there will be no document, before everything is undone."""

    id: UUID
    user_id: UUID
    title: str
    prompt: str
    body: str | None
    state: State
    round: int
    step: str
    error: str | None
    held_for: HeldFor | None
    headers: Mapping[str, str]
    created_at: datetime
    updated_at: datetime

    @property
    def decided(self) -> bool:
        return self.state != "running"


@dataclass(frozen=True)
class Wish:
    user: UUID
    repeat_key: str
    title: str
    prompt: str


async def add(connection: Connection, wish: Wish, headers: Mapping[str, str]) -> tuple[Document, bool]:
    """The document for this wish, and whether it is new. Raises OtherDocumentError.

    `headers` carry trace and correlation id: the saga may go on long after its request.
    """
    cursor = await connection.execute(
        """INSERT INTO documents (id, user_id, repeat_key, title, prompt, headers) VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (user_id, repeat_key) DO NOTHING RETURNING *""",
        (uuid4(), wish.user, wish.repeat_key, wish.title, wish.prompt, Jsonb(dict(headers))),
    )
    if made := _one(await cursor.fetchone()):
        return made, True
    cursor = await connection.execute(
        "SELECT * FROM documents WHERE user_id = %s AND repeat_key = %s", (wish.user, wish.repeat_key)
    )
    found = _one(await cursor.fetchone())
    assert found  # noqa: S101  the insert met it
    if (found.title, found.prompt) != (wish.title, wish.prompt):
        raise OtherDocumentError(wish.repeat_key)
    return found, False


async def get(connection: Connection, document: UUID) -> Document | None:
    cursor = await connection.execute("SELECT * FROM documents WHERE id = %s", (document,))
    return _one(await cursor.fetchone())


async def begin(connection: Connection, document: UUID, step: str) -> Document:
    """The document, with a step of its saga begun."""
    cursor = await connection.execute(
        "UPDATE documents SET step = %s, updated_at = now() WHERE id = %s RETURNING *", (step, document)
    )
    found = _one(await cursor.fetchone())
    assert found  # noqa: S101  no document is ever deleted
    return found


async def write(connection: Connection, document: UUID, body: str | None) -> None:
    await connection.execute("UPDATE documents SET body = %s WHERE id = %s", (body, document))


async def settle(
    connection: Connection,
    document: UUID,
    round: int,
    state: State,
    *,
    error: str | None = None,
    held_for: HeldFor | None = None,
) -> bool:
    """Whether this changed anything: not what is settled already, nor what has gone on to another round."""
    cursor = await connection.execute(
        """UPDATE documents SET state = %s, error = coalesce(%s, error), held_for = %s, updated_at = now()
            WHERE id = %s AND round = %s AND state IN ('running', 'compensating') AND state <> %s""",
        (state, error, held_for, document, round, state),
    )
    return cursor.rowcount > 0


async def resume(connection: Connection, document: UUID) -> Document | None:
    """Begins another round with a document that is held; None where it is not."""
    cursor = await connection.execute(
        """UPDATE documents SET state = 'running', round = round + 1, held_for = NULL, updated_at = now()
            WHERE id = %s AND state = 'held' RETURNING *""",
        (document,),
    )
    return _one(await cursor.fetchone())


async def unfinished(connection: Connection, seconds: float, limit: int) -> list[Document]:
    """On which nothing was begun for so many seconds, the oldest first."""
    cursor = await connection.execute(
        """SELECT * FROM documents WHERE state IN ('running', 'compensating')
            AND updated_at < now() - make_interval(secs => %s) ORDER BY updated_at LIMIT %s""",
        (seconds, limit),
    )
    return [_read(row) for row in await cursor.fetchall()]


async def held(connection: Connection, seconds: float, limit: int) -> list[UUID]:
    """Those to ask about again, the oldest first.

    Where nobody could be asked, as soon as that is possible; where the verdict is to
    come from a person, after so many seconds, and twice as many each time up to 64 times.
    """
    cursor = await connection.execute(
        """SELECT id FROM documents WHERE state = 'held' AND (held_for = 'moderation'
            OR updated_at < now() - make_interval(secs => %s * 2 ^ least(round, 6))) ORDER BY updated_at LIMIT %s""",
        (seconds, limit),
    )
    return [row["id"] for row in await cursor.fetchall()]


async def logged(connection: Connection, seconds: float, limit: int) -> list[Document]:
    """Ended so many seconds ago, with a log of steps that nobody needs any more."""
    cursor = await connection.execute(
        """SELECT * FROM documents WHERE log_kept AND state IN ('published', 'compensated')
            AND updated_at < now() - make_interval(secs => %s) ORDER BY updated_at LIMIT %s""",
        (seconds, limit),
    )
    return [_read(row) for row in await cursor.fetchall()]


async def forget_log(connection: Connection, document: UUID) -> None:
    await connection.execute("UPDATE documents SET log_kept = false WHERE id = %s", (document,))


async def count(connection: Connection) -> dict[State, int]:
    cursor = await connection.execute("SELECT state, count(*) FROM documents GROUP BY state")
    found = {row["state"]: row["count"] for row in await cursor.fetchall()}
    return {state: found.get(state, 0) for state in STATES}


async def recent(connection: Connection, limit: int) -> list[Document]:
    """Those that ended last, the latest first."""
    cursor = await connection.execute(
        """SELECT * FROM documents WHERE state IN ('published', 'compensated')
            ORDER BY updated_at DESC LIMIT %s""",
        (limit,),
    )
    return [_read(row) for row in await cursor.fetchall()]


def _one(row: Row | None) -> Document | None:
    return _read(row) if row else None


def _read(row: Row) -> Document:
    return Document(**{field.name: row[field.name] for field in fields(Document)})
