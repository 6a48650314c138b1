"""The keys that sign access tokens. The newest signs; older ones verify until the last of their tokens has expired.

They live in the database, made by whichever replica comes first, unless the
environment gives one. `python -m system.users.keys` adds a new one: the other
replicas and the gateways find it when they meet a token that it signed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from system.kit import database, tokens

LOCK = 7_304_222
REREAD_SECONDS = 30.0
# A stranger's token with a made-up key id must not make us read for each request.
REREAD_AT_MOST_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Key:
    id: str
    private: ec.EllipticCurvePrivateKey

    @cached_property
    def jwk(self) -> dict[str, Any]:
        public = json.loads(ECAlgorithm.to_jwk(self.private.public_key()))
        return {**public, "kid": self.id, "alg": tokens.ALGORITHM, "use": "sig"}


def from_pem(pem: str) -> Key:
    """Raises ValueError for anything but an EC P-256 private key. The id follows from the key."""
    private = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise ValueError("the signing key must be an EC P-256 private key in PEM")
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Key(hashlib.sha256(public).hexdigest()[:16], private)


def generate() -> str:
    """A new key as PEM."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


class KeyRing:
    """The keys as of the last look into the database. `keys` is newest first."""

    def __init__(self, pool: database.Pool, given: str | None, keep_seconds: float) -> None:
        self._pool = pool
        self._given = [from_pem(given)] if given else []
        self._keep_seconds = keep_seconds
        self._read_at = float("-inf")
        self.keys: list[Key] = self._given

    @property
    def signing(self) -> Key:
        return self.keys[0]

    @property
    def public(self) -> Mapping[str, Any]:
        return {key.id: key.private.public_key() for key in self.keys}

    async def fresh(self, wanted: str | None = None) -> KeyRing:
        """Reads again what is old, or what may have missed the key `wanted`."""
        age = time.monotonic() - self._read_at
        missing = wanted is not None and wanted not in self.public
        if not self._given and (age > REREAD_SECONDS or (missing and age > REREAD_AT_MOST_EVERY_SECONDS)):
            await self._read()
        return self

    async def _read(self) -> None:
        self._read_at = time.monotonic()
        async with database.transaction(self._pool) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            await connection.execute(
                "INSERT INTO signing_keys (id, private_pem) SELECT %s, %s WHERE NOT EXISTS (SELECT FROM signing_keys)",
                _row(generate()),
            )
            # An older key is needed while a token may live that it signed before its successor came.
            cursor = await connection.execute(
                """SELECT private_pem FROM signing_keys k WHERE NOT EXISTS (
                     SELECT FROM signing_keys n
                     WHERE n.created_at > k.created_at AND n.created_at < now() - make_interval(secs => %s))
                   ORDER BY created_at DESC""",
                (self._keep_seconds,),
            )
            self.keys = [from_pem(row["private_pem"]) for row in await cursor.fetchall()]


async def rotate(pool: database.Pool) -> str:
    """Adds a key, which signs from now on. Returns its id."""
    row = _row(generate())
    async with database.transaction(pool) as connection:
        await connection.execute("INSERT INTO signing_keys (id, private_pem) VALUES (%s, %s)", row)
    return row[0]


def _row(pem: str) -> tuple[str, str]:
    return from_pem(pem).id, pem


async def _main() -> None:
    from system.kit import settings
    from system.users.settings import UserSettings

    async with database.pool(settings.load(UserSettings).database_url, size=1) as pool:
        print(await rotate(pool))


if __name__ == "__main__":
    import asyncio

    asyncio.run(_main())
