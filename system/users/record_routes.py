"""What users bought and wrote, over HTTP."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from system.kit import database
from system.kit.problem import ProblemError
from system.users import records
from system.users.models import Content, NewContent, NewPurchase, Purchase
from system.users.routes import Caller, Users

router = APIRouter(prefix="/users/me")

Limit = Annotated[int, Query(ge=1, le=100)]
RepeatKey = Annotated[str | None, Header(alias="idempotency-key", max_length=100, pattern=r"^[!-~]+$")]


@router.post("/purchases", status_code=201, responses={200: {"model": Purchase, "description": "bought before"}})
async def buy(
    users: Users, who: Caller, body: NewPurchase, response: Response, repeat_key: RepeatKey = None
) -> Purchase:
    """With an Idempotency-Key that was used before: 200, and the purchase that it made."""
    try:
        async with database.transaction(users.pool) as connection:
            row, new = await records.buy(connection, who.user, body, repeat_key)
    except records.OtherPurchaseError as error:
        raise ProblemError(422, "this Idempotency-Key has been used for another purchase") from error
    users.told()
    if not new:
        response.status_code = 200
    return Purchase.model_validate(row)


@router.get("/purchases")
async def purchases(users: Users, who: Caller, limit: Limit = 20) -> list[Purchase]:
    async with database.transaction(users.pool) as connection:
        return [Purchase.model_validate(row) for row in await records.purchases(connection, who.user, limit)]


@router.post("/content", status_code=201)
async def write(users: Users, who: Caller, body: NewContent) -> Content:
    async with database.transaction(users.pool) as connection:
        row = await records.write(connection, who.user, body.title, body.body)
    users.told()
    return Content.model_validate(row)


@router.get("/content")
async def contents(users: Users, who: Caller, limit: Limit = 20) -> list[Content]:
    async with database.transaction(users.pool) as connection:
        return [Content.model_validate(row) for row in await records.contents(connection, who.user, limit)]


@router.delete("/content/{content}", status_code=204)
async def remove(users: Users, who: Caller, content: uuid.UUID) -> None:
    async with database.transaction(users.pool) as connection:
        if not await records.remove(connection, who.user, content):
            raise ProblemError(404, "there is no such content")
