"""What user-svc keeps in PostgreSQL, as one function a statement."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from typing import Any

from psycopg import errors

from system.kit.database import Connection, Row


class EmailTakenError(Exception):
    pass


class ReusedTokenError(Exception):
    """A refresh token was shown a second time: it, or its successor, was stolen."""


async def add_user(connection: Connection, *, email: str, password_hash: str, name: str, interests: list[str]) -> Row:
    """Raises EmailTakenError."""
    try:
        cursor = await connection.execute(
            "INSERT INTO users (id, email, password_hash, name, interests) VALUES (%s, %s, %s, %s, %s) RETURNING *",
            (uuid.uuid4(), email, password_hash, name, interests),
        )
    except errors.UniqueViolation as error:
        raise EmailTakenError(email) from error
    row = await cursor.fetchone()
    assert row  # noqa: S101
    return row


async def by_email(connection: Connection, email: str) -> Row | None:
    cursor = await connection.execute("SELECT * FROM users WHERE email = %s", (email,))
    return await cursor.fetchone()


async def by_id(connection: Connection, user: str) -> Row | None:
    cursor = await connection.execute("SELECT * FROM users WHERE id = %s", (user,))
    return await cursor.fetchone()


async def change(connection: Connection, user: str, *, name: str | None, interests: list[str] | None) -> Row | None:
    """None leaves a column as it is."""
    cursor = await connection.execute(
        "UPDATE users SET name = coalesce(%s, name), interests = coalesce(%s, interests) WHERE id = %s RETURNING *",
        (name, interests, user),
    )
    return await cursor.fetchone()


async def set_tier(connection: Connection, user: str, tier: str) -> Row | None:
    cursor = await connection.execute("UPDATE users SET tier = %s WHERE id = %s RETURNING *", (tier, user))
    return await cursor.fetchone()


async def issue_refresh(connection: Connection, user: uuid.UUID, seconds: float, family: Any = None) -> str:
    """A new refresh token, of which only the hash is kept. `family` links it to the log-in that it goes back to."""
    token = secrets.token_urlsafe(32)
    await connection.execute(
        "INSERT INTO refresh_tokens (hash, family, user_id, expires_at)"
        " VALUES (%s, %s, %s, now() + make_interval(secs => %s))",
        (_hash(token), family or uuid.uuid4(), user, seconds),
    )
    return token


async def use_refresh(connection: Connection, token: str) -> Row | None:
    """The family and the user's profile; None for a token that is unknown or expired.

    Raises ReusedTokenError for one used before.
    """
    cursor = await connection.execute(
        """UPDATE refresh_tokens t SET used_at = now() FROM users u
            WHERE t.hash = %s AND t.used_at IS NULL AND t.expires_at > now() AND u.id = t.user_id
            RETURNING t.family, u.*""",
        (_hash(token),),
    )
    if row := await cursor.fetchone():
        return row
    cursor = await connection.execute(
        "SELECT FROM refresh_tokens WHERE hash = %s AND used_at IS NOT NULL", (_hash(token),)
    )
    if await cursor.fetchone() is not None:
        raise ReusedTokenError
    return None


async def end_family(connection: Connection, token: str) -> None:
    """Ends every refresh token of the log-in that `token` goes back to."""
    await connection.execute(
        "DELETE FROM refresh_tokens WHERE family = (SELECT family FROM refresh_tokens WHERE hash = %s)", (_hash(token),)
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
