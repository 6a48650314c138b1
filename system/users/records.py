"""What users bought and wrote: one function a statement."""

from __future__ import annotations

import uuid

from psycopg import errors

from system.kit.database import Connection, Row
from system.users import outbox
from system.users.models import NewPurchase


class NoUserError(Exception):
    pass


class OtherPurchaseError(Exception):
    """The same key was used for a purchase of something else."""


async def buy(connection: Connection, user: str, wanted: NewPurchase, repeat_key: str | None) -> tuple[Row, bool]:
    """The purchase, and whether it is new: the same `repeat_key` buys once, also when sent twice at once.

    Raises OtherPurchaseError where the key belongs to another purchase.
    """
    cursor = await connection.execute(
        "INSERT INTO purchases (id, user_id, item_id, price_cents, quantity, repeat_key)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (user_id, repeat_key) DO NOTHING RETURNING *",
        (uuid.uuid4(), user, wanted.itemId, wanted.priceCents, wanted.quantity, repeat_key),
    )
    if row := await cursor.fetchone():
        event = uuid.uuid4()
        payload = {
            "eventId": str(event),
            "userId": user,
            "itemId": wanted.itemId,
            "quantity": wanted.quantity,
            "occurredAt": row["created_at"].isoformat(),
        }
        await outbox.tell(connection, outbox.PURCHASED, user, payload, event)
        return row, True
    cursor = await connection.execute(
        "SELECT * FROM purchases WHERE user_id = %s AND repeat_key = %s", (user, repeat_key)
    )
    found = await cursor.fetchone()
    assert found  # noqa: S101  the insert met it
    bought = NewPurchase(itemId=found["item_id"], priceCents=found["price_cents"], quantity=found["quantity"])
    if bought != wanted:
        raise OtherPurchaseError
    return found, False


async def purchases(connection: Connection, user: str, limit: int) -> list[Row]:
    """Newest first."""
    cursor = await connection.execute(
        "SELECT * FROM purchases WHERE user_id = %s ORDER BY created_at DESC, id LIMIT %s", (user, limit)
    )
    return await cursor.fetchall()


async def write(connection: Connection, user: str, title: str, body: str) -> Row:
    cursor = await connection.execute(
        "INSERT INTO content (id, user_id, title, body) VALUES (%s, %s, %s, %s) RETURNING *",
        (uuid.uuid4(), user, title, body),
    )
    row = await cursor.fetchone()
    assert row  # noqa: S101
    await _tell_of_content(connection, row)
    return row


async def contents(connection: Connection, user: str, limit: int) -> list[Row]:
    """Newest first."""
    cursor = await connection.execute(
        "SELECT * FROM content WHERE user_id = %s AND taken_back_at IS NULL ORDER BY created_at DESC, id LIMIT %s",
        (user, limit),
    )
    return await cursor.fetchall()


async def remove(connection: Connection, user: str, content: uuid.UUID) -> bool:
    """Whether there was such a record of this user's."""
    cursor = await connection.execute(
        "DELETE FROM content WHERE id = %s AND user_id = %s AND taken_back_at IS NULL", (content, user)
    )
    return cursor.rowcount > 0


async def put(
    connection: Connection, user: uuid.UUID, content: uuid.UUID, title: str, body: str
) -> tuple[Row | None, bool]:
    """The record with this id, and whether it is new; None where it was taken back. Raises NoUserError."""
    try:
        cursor = await connection.execute(
            "INSERT INTO content (id, user_id, title, body) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (id) DO NOTHING RETURNING *",
            (content, user, title, body),
        )
    except errors.ForeignKeyViolation as error:
        raise NoUserError(user) from error
    if row := await cursor.fetchone():
        await _tell_of_content(connection, row)
        return row, True
    return await one(connection, user, content), False


async def one(connection: Connection, user: uuid.UUID, content: uuid.UUID) -> Row | None:
    cursor = await connection.execute(
        "SELECT * FROM content WHERE id = %s AND user_id = %s AND taken_back_at IS NULL", (content, user)
    )
    return await cursor.fetchone()


async def take_back(connection: Connection, user: uuid.UUID, content: uuid.UUID) -> None:
    """Leaves nothing but the id, also where there was nothing yet: a `put` that comes late must not bring it back.

    Raises NoUserError.
    """
    try:
        await connection.execute(
            "INSERT INTO content AS old (id, user_id, title, body, taken_back_at) VALUES (%s, %s, '', '', now())"
            " ON CONFLICT (id) DO UPDATE SET title = '', body = '', taken_back_at = now() WHERE old.user_id = %s",
            (content, user, user),
        )
    except errors.ForeignKeyViolation as error:
        raise NoUserError(user) from error


async def _tell_of_content(connection: Connection, row: Row) -> None:
    payload = {"contentId": str(row["id"]), "userId": str(row["user_id"]), "title": row["title"]}
    await outbox.tell(connection, outbox.CONTENT_CREATED, payload["userId"], payload)
