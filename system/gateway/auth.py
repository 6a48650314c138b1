"""Who sends a request: access tokens, checked by user-svc's published keys."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Any

from jwt import PyJWK, PyJWKError
from pydantic import BaseModel

from system.gateway.policies import Policy
from system.kit import signals, telemetry, tokens
from system.kit.client import Edge, UnavailableError
from system.kit.problem import ProblemError

KEYS_PATH = "/.well-known/jwks.json"
KEYS_TIMEOUT_SECONDS = 1.0
# Made-up key ids must not make us fetch for each request.
FETCH_AT_MOST_EVERY_SECONDS = 1.0
REMEMBERED_TOKENS = 10_000


class KeySet(BaseModel):
    keys: list[dict[str, Any]]


class Verifier:
    """Remembers the keys, so that it works while user-svc is gone, and verified tokens until they expire."""

    def __init__(self, users: Edge, refresh_seconds: float) -> None:
        self._users = users
        self._refresh_seconds = refresh_seconds
        self._keys: dict[str, Any] = {}
        self._fetched = float("-inf")
        self._fetching = asyncio.Lock()
        self._verified: OrderedDict[str, tokens.Claims] = OrderedDict()

    async def claims(self, authorization: str | None, policy: Policy) -> tokens.Claims | None:
        """None where the policy lets a request without a token pass. Raises ProblemError."""
        if policy.token == "none" or (policy.token == "optional" and authorization is None):  # noqa: S105
            return None
        scheme, _, token = (authorization or "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise tokens.InvalidTokenError("a bearer token is needed")
            claims = self._remembered(token) or await self._check(token)
        except tokens.InvalidTokenError as error:
            signals.TOKENS_REFUSED.labels(str(error)).inc()
            raise ProblemError(401, str(error), headers={"www-authenticate": "Bearer"}) from error
        except UnavailableError as error:
            raise ProblemError(503, "tokens cannot be checked now", headers={"retry-after": "1"}) from error
        telemetry.USER_ID.set(telemetry.user_id(claims.user))
        return claims

    async def keep_fresh(self) -> None:
        """Runs for as long as the service does."""
        while True:
            try:
                await self._fetch()
            except UnavailableError as error:
                telemetry.logger().warning("keys_not_fetched", error=str(error))
            await asyncio.sleep(self._refresh_seconds if self._keys else FETCH_AT_MOST_EVERY_SECONDS)

    def _remembered(self, token: str) -> tokens.Claims | None:
        claims = self._verified.get(token)
        return claims if claims is not None and claims.expires > time.time() else None

    async def _check(self, token: str) -> tokens.Claims:
        if tokens.key_id(token) not in self._keys:
            await self._fetch_once()
        claims = tokens.verify(token, self._keys)
        self._verified[token] = claims
        if len(self._verified) > REMEMBERED_TOKENS:
            self._verified.popitem(last=False)
        return claims

    async def _fetch_once(self) -> None:
        """One look for all who wait, and none so soon after the last."""
        async with self._fetching:
            if time.monotonic() - self._fetched > FETCH_AT_MOST_EVERY_SECONDS:
                await self._fetch()

    async def _fetch(self) -> None:
        found = await self._users.read(KeySet, "GET", KEYS_PATH, timeout=KEYS_TIMEOUT_SECONDS, idempotent=True)
        self._fetched = time.monotonic()
        keys = dict(_usable(found))
        if keys.keys() != self._keys.keys():
            # What a withdrawn key signed is no longer good.
            self._verified.clear()
        self._keys = keys


def _usable(found: KeySet) -> list[tuple[str, Any]]:
    usable = []
    for data in found.keys:
        try:
            key = PyJWK(data, tokens.ALGORITHM)
        except PyJWKError as error:
            telemetry.logger().warning("key_unusable", error=str(error))
        else:
            usable.append((str(key.key_id), key.key))
    return usable
