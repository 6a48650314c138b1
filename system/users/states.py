"""The states of user-svc, and what it tells of a purchase, for the verification of contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID, uuid4

from fastapi import FastAPI

from system.kit import database
from system.kit.bus import Bus
from system.kit.database import Connection
from system.kit.states import Captured, Make, Params, State
from system.users import outbox, passwords, records, routes, store
from system.users.models import NewPurchase
from system.users.outbox import Event
from system.users.relay import Relay


class _NotForGoodError(Exception):
    """Ends a transaction whose writes nobody is to see."""


async def _sign_up(app: FastAPI, params: Params) -> None:
    secret = await passwords.hashed(str(params.get("password", "")))
    async with database.transaction(app.state.context.pool) as connection:
        await _insert(connection, str(params["userId"]), str(params["email"]), str(params["name"]), secret)


async def _insert(connection: Connection, user: str, email: str, name: str, secret: str) -> None:
    await connection.execute(
        "INSERT INTO users (id, email, password_hash, name, interests) VALUES (%s, %s, %s, %s, '{}')",
        (user, email, secret, name),
    )


async def _log_in(app: FastAPI, params: Params) -> Mapping[str, Any]:
    await _sign_up(app, params)
    async with database.transaction(app.state.context.pool) as connection:
        row = await store.by_id(connection, str(params["userId"]))
        assert row  # noqa: S101  it was inserted
        tokens = await routes.issued(app.state.context, connection, row)
    return {"authorization": f"Bearer {tokens.access_token}"}


async def _sign_out(app: FastAPI, params: Params) -> None:
    async with database.transaction(app.state.context.pool) as connection:
        await connection.execute("DELETE FROM users WHERE id = %s", (params["userId"],))


async def _write(app: FastAPI, params: Params) -> None:
    await _sign_up(app, params)
    user, content = UUID(str(params["userId"])), UUID(str(params["contentId"]))
    async with database.transaction(app.state.context.pool) as connection:
        await records.put(connection, user, content, str(params["title"]), str(params["body"]))


async def _purchase(app: FastAPI) -> bytes:
    """What the relay publishes of a purchase that is made as users make one, and then taken back."""
    user, captured = str(uuid4()), Captured()
    try:
        async with database.transaction(app.state.context.pool) as connection:
            await _insert(connection, user, f"{user}@contracts.example", "Pat", "")
            await records.buy(connection, user, NewPurchase(itemId="item-042", priceCents=1999, quantity=2), None)
            await Relay(app.state.context.pool, cast("Bus", captured)).publish(await _told(connection, user))
            raise _NotForGoodError
    except _NotForGoodError:
        return captured.only


async def _told(connection: Connection, user: str) -> list[Event]:
    cursor = await connection.execute(
        "SELECT number, id, key, type, payload, headers, created_at FROM outbox WHERE key = %s AND type = %s",
        (user, outbox.PURCHASED),
    )
    return [Event(**row) for row in await cursor.fetchall()]


STATES: Mapping[str, State] = {
    "a user": State(_sign_up, _sign_out),
    "a user who is logged in": State(_log_in, _sign_out),
    "a user with a content record": State(_write, _sign_out),
}
MESSAGES: Mapping[str, Make] = {"a purchase": _purchase}
