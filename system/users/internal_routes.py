"""For other services: content records as content-svc makes and takes them back, and where notification-svc writes to.

Not reached through the gateway, so without a token: who undoes something, or
writes a mail, may come long after the user's token has expired.
"""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Response

from system.kit import database
from system.kit.problem import ProblemError
from system.users import records, store
from system.users.models import Address, Content, NewContent
from system.users.routes import Users

router = APIRouter(prefix="/internal/users/{user}/content/{content}")
addresses = APIRouter(prefix="/internal/users")
CREATED = 201


@addresses.get("/{user}/address")
async def address(users: Users, user: uuid.UUID) -> Address:
    async with database.transaction(users.pool) as connection:
        row = await store.by_id(connection, str(user))
    if row is None:
        raise ProblemError(404, "there is no such user")
    return Address.model_validate(row)


@router.put("", responses={CREATED: {"model": Content}})
async def put(users: Users, user: uuid.UUID, content: uuid.UUID, body: NewContent, response: Response) -> Content:
    """Once, however often it is asked for; 410 after it was taken back."""
    try:
        async with database.transaction(users.pool) as connection:
            row, new = await records.put(connection, user, content, body.title, body.body)
    except records.NoUserError as error:
        raise ProblemError(404, "there is no such user") from error
    if row is None:
        raise ProblemError(410, "this content was taken back")
    if new:
        users.told()
        response.status_code = CREATED
    return Content.model_validate(row)


@router.get("")
async def get(users: Users, user: uuid.UUID, content: uuid.UUID) -> Content:
    async with database.transaction(users.pool) as connection:
        row = await records.one(connection, user, content)
    if row is None:
        raise ProblemError(404, "there is no such content")
    return Content.model_validate(row)


@router.delete("", status_code=204)
async def take_back(users: Users, user: uuid.UUID, content: uuid.UUID) -> None:
    """Also where there is no such content, and for a user who is gone: then there can be none."""
    try:
        async with database.transaction(users.pool) as connection:
            await records.take_back(connection, user, content)
    except records.NoUserError:
        return
