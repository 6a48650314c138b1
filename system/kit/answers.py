"""The answers that the gateway keeps for a user, in Redis: who changes what they would say now drops them.

Here rather than in the gateway, since recommendation-svc must drop them too, and
only after it knows what has changed.
"""

from __future__ import annotations

from redis.asyncio import Redis

from system.kit.store import Store

# Longer than an answer may take: one that was asked for before the others were dropped must not be kept after that.
SETTLING_MILLISECONDS = 6000

_KEEP = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""


def key(user: str) -> str:
    """A hash: all of a user's answers are dropped at once."""
    return f"answers:{user}"


async def keep(store: Store, user: str, field: str, text: str, milliseconds: int) -> None:
    """Unless the user's answers were dropped a moment ago. Raises UnavailableError."""
    keys = key(user), _dropped(user)
    await store.ask(lambda redis: redis.eval(_KEEP, len(keys), *keys, field, text, milliseconds))


async def drop(store: Store, user: str) -> None:
    """Forgets all that is kept of `user`. Raises UnavailableError."""

    async def forget(redis: Redis) -> None:
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.set(_dropped(user), "", px=SETTLING_MILLISECONDS)
            pipeline.delete(key(user))
            await pipeline.execute()

    await store.ask(forget)


def _dropped(user: str) -> str:
    return f"dropped:{user}"
