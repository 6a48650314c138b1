"""Password hashes by argon2id, off the event loop."""

from __future__ import annotations

import asyncio
import os
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's minimum for argon2id: about 20 ms of one core and 19 MiB.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

# Each hash takes a core and its memory: more at once would only be slower.
_TURNS = asyncio.Semaphore(os.cpu_count() or 1)


async def hashed(password: str) -> str:
    async with _TURNS:
        return await asyncio.to_thread(HASHER.hash, password)


async def matches(password: str, known: str | None) -> bool:
    """Takes as long where no hash is known, so that the time does not tell who has an account."""
    async with _TURNS:
        verified = await asyncio.to_thread(_verify, password, known or _of_nobody())
    return verified and known is not None


def _verify(password: str, known: str) -> bool:
    try:
        return HASHER.verify(known, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _of_nobody() -> str:
    return HASHER.hash(os.urandom(16))
