"""Events, written in the transaction of what they tell of: either both are there or neither is.

The events with one key, which is a user's id, are published one after the other
in the order of `number`; those of several keys side by side.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from system.kit import telemetry
from system.kit.database import Connection

PURCHASED = "user.purchased"
CONTENT_CREATED = "user.content_created"
EVENTS = (PURCHASED, CONTENT_CREATED)

KEEP_DAYS = 7
# Any number will do, as long as nothing else locks by it.
LOCK = 7_304_223


@dataclass(frozen=True)
class Event:
    """`headers` carry trace and correlation id, so that a consumer goes on with them."""

    number: int
    id: uuid.UUID
    key: str
    type: str
    payload: Mapping[str, Any]
    headers: Mapping[str, str]
    created_at: datetime


async def tell(
    connection: Connection, kind: str, key: str, payload: Mapping[str, Any], event_id: uuid.UUID | None = None
) -> None:
    # Until the commit, so that the numbers of a key grow in the order of the commits.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", (key, LOCK))
    await connection.execute(
        "INSERT INTO outbox (id, type, key, payload, headers) VALUES (%s, %s, %s, %s, %s)",
        (event_id or uuid.uuid4(), kind, key, Jsonb(dict(payload)), Jsonb(telemetry.outgoing_headers())),
    )


async def claim(connection: Connection, most: int) -> list[Event]:
    """What is to be published, oldest first, of keys that are this transaction's alone until it ends.

    A key belongs to who has locked its oldest event. Another replica skips it, and
    with it all that is newer.
    """
    cursor = await connection.execute(
        """SELECT key FROM outbox WHERE published_at IS NULL AND number IN (
             SELECT DISTINCT ON (key) number FROM (
               SELECT number, key FROM outbox WHERE published_at IS NULL ORDER BY number LIMIT %s) AS oldest
             ORDER BY key, number)
           FOR UPDATE SKIP LOCKED""",
        (most,),
    )
    keys = [row["key"] for row in await cursor.fetchall()]
    cursor = await connection.execute(
        "SELECT number, id, key, type, payload, headers, created_at FROM outbox"
        " WHERE published_at IS NULL AND key = ANY(%s) ORDER BY number LIMIT %s",
        (keys, most),
    )
    return [Event(**row) for row in await cursor.fetchall()]


async def mark(connection: Connection, numbers: Collection[int]) -> None:
    await connection.execute("UPDATE outbox SET published_at = now() WHERE number = ANY(%s)", (list(numbers),))


async def waiting(connection: Connection) -> int:
    row = await (await connection.execute("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")).fetchone()
    return int(row["n"]) if row else 0


async def forget(connection: Connection, most: int) -> int:
    """Deletes at most so many of those that were published long ago; how many there were."""
    cursor = await connection.execute(
        "DELETE FROM outbox WHERE number IN ("
        " SELECT number FROM outbox WHERE published_at < now() - make_interval(days => %s) LIMIT %s)",
        (KEEP_DAYS, most),
    )
    return cursor.rowcount
