"""Access tokens: what user-svc signs and every service can verify with its public keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jwt

ISSUER = "user-svc"
AUDIENCE = "gameday"
ALGORITHM = "ES256"

Tier = Literal["free", "pro"]


class InvalidTokenError(Exception):
    """The token proves nothing. The message may be shown to its sender."""


class UnknownKeyError(InvalidTokenError):
    """Signed with a key that is not among those known here: perhaps a newer one."""


@dataclass(frozen=True)
class Claims:
    """Who sends a request. `expires` in seconds of the epoch."""

    user: str
    tier: Tier
    roles: tuple[str, ...]
    expires: float


def key_id(token: str) -> str:
    """The `kid` that the header names. Raises InvalidTokenError, also for any algorithm but ours."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise InvalidTokenError("not a token") from error
    if header.get("alg") != ALGORITHM:
        raise InvalidTokenError("not signed with the expected algorithm")
    return str(header.get("kid", ""))


def verify(token: str, keys: Mapping[str, Any]) -> Claims:
    """Checks signature, issuer, audience and times with the public keys by their ids. Raises InvalidTokenError."""
    key = keys.get(key_id(token))
    if key is None:
        raise UnknownKeyError("signed with an unknown key")
    try:
        payload = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["exp", "iat", "sub", "iss", "aud"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise InvalidTokenError("expired") from error
    except jwt.PyJWTError as error:
        raise InvalidTokenError("not valid here") from error
    return Claims(
        user=payload["sub"],
        tier="pro" if payload.get("tier") == "pro" else "free",
        roles=tuple(payload.get("roles", ())),
        expires=float(payload["exp"]),
    )
