"""The HTTP side of user-svc."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, Header, Request

from system.kit import database, tokens
from system.kit.problem import ProblemError
from system.users import passwords, store
from system.users.keys import KeyRing
from system.users.models import Login, Profile, ProfileChange, Refresh, SignUp, TierChange, Tokens
from system.users.settings import UserSettings

router = APIRouter()


class Context:
    """What the routes work with, hung on the app at start. `told` is to be called after an event was written."""

    def __init__(self, settings: UserSettings, pool: database.Pool, told: Callable[[], None]) -> None:
        self.settings = settings
        self.told = told
        self.pool = pool
        self.keys = KeyRing(pool, settings.jwt_key, keep_seconds=settings.access_token_seconds)


async def context(request: Request) -> Context:
    """Asynchronous, since FastAPI runs what is not in a thread."""
    found: Context = request.app.state.context
    return found


Users = Annotated[Context, Depends(context)]


async def caller(users: Users, authorization: Annotated[str | None, Header()] = None) -> tokens.Claims:
    """Who sends the request. The gateway has checked it too; this service trusts nobody."""
    scheme, _, token = (authorization or "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise tokens.InvalidTokenError("a bearer token is needed")
        keys = await users.keys.fresh(tokens.key_id(token))
        return tokens.verify(token, keys.public)
    except tokens.InvalidTokenError as error:
        raise ProblemError(401, str(error), headers={"www-authenticate": "Bearer"}) from error


Caller = Annotated[tokens.Claims, Depends(caller)]


@router.post("/users", status_code=201)
async def sign_up(users: Users, body: SignUp) -> Profile:
    password_hash = await passwords.hashed(body.password)
    try:
        async with database.transaction(users.pool) as connection:
            row = await store.add_user(
                connection, email=body.email, password_hash=password_hash, name=body.name, interests=body.interests
            )
    except store.EmailTakenError as error:
        raise ProblemError(409, "there is an account with this email") from error
    return Profile.model_validate(row)


@router.post("/users/login")
async def login(users: Users, body: Login) -> Tokens:
    async with database.transaction(users.pool) as connection:
        row = await store.by_email(connection, body.email)
    if not await passwords.matches(body.password, row["password_hash"] if row else None) or row is None:
        raise ProblemError(401, "email or password is wrong", headers={"www-authenticate": "Bearer"})
    async with database.transaction(users.pool) as connection:
        return await issued(users, connection, row)


@router.post("/users/refresh")
async def refresh(users: Users, body: Refresh) -> Tokens:
    """A new pair for a refresh token, which is thereby used up; one that was used before ends its whole log-in."""
    try:
        async with database.transaction(users.pool) as connection:
            row = await store.use_refresh(connection, body.refresh_token)
            if row is not None:
                return await issued(users, connection, row, row["family"])
    except store.ReusedTokenError:
        async with database.transaction(users.pool) as connection:
            await store.end_family(connection, body.refresh_token)
    raise ProblemError(401, "log in again", headers={"www-authenticate": "Bearer"})


@router.post("/users/logout", status_code=204)
async def logout(users: Users, body: Refresh) -> None:
    async with database.transaction(users.pool) as connection:
        await store.end_family(connection, body.refresh_token)


@router.get("/users/me")
async def me(users: Users, who: Caller) -> Profile:
    async with database.transaction(users.pool) as connection:
        return _profile(await store.by_id(connection, who.user))


@router.patch("/users/me")
async def change_me(users: Users, who: Caller, body: ProfileChange) -> Profile:
    async with database.transaction(users.pool) as connection:
        return _profile(await store.change(connection, who.user, name=body.name, interests=body.interests))


@router.put("/users/{user}/tier")
async def set_tier(users: Users, who: Caller, user: uuid.UUID, body: TierChange) -> Profile:
    """Takes effect with the user's next access token."""
    if "admin" not in who.roles:
        raise ProblemError(403, "only an admin may do this")
    async with database.transaction(users.pool) as connection:
        return _profile(await store.set_tier(connection, str(user), body.tier))


@router.get("/.well-known/jwks.json")
async def jwks(users: Users) -> dict[str, list[dict[str, Any]]]:
    keys = await users.keys.fresh()
    return {"keys": [key.jwk for key in keys.keys]}


async def issued(users: Users, connection: database.Connection, row: database.Row, family: Any = None) -> Tokens:
    keys = await users.keys.fresh()
    seconds = users.settings.access_token_seconds
    now = int(time.time())
    payload = {
        "iss": tokens.ISSUER,
        "aud": tokens.AUDIENCE,
        "sub": str(row["id"]),
        "iat": now,
        "exp": now + seconds,
        "jti": uuid.uuid4().hex,
        "tier": row["tier"],
        "roles": row["roles"],
    }
    signed = jwt.encode(payload, keys.signing.private, tokens.ALGORITHM, {"kid": keys.signing.id})
    again = await store.issue_refresh(connection, row["id"], users.settings.refresh_token_seconds, family)
    return Tokens(access_token=signed, refresh_token=again, expires_in=seconds)


def _profile(row: database.Row | None) -> Profile:
    if row is None:
        raise ProblemError(404, "there is no such user")
    return Profile.model_validate(row)
