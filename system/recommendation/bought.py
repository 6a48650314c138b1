"""What users have bought, as `user.purchased` tells it: kept for good, each event once.

In the Redis that loses nothing. Features in the cache are made from it, and the
next training will be.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from system.kit import answers, telemetry
from system.kit.bus import Received
from system.kit.consumer import Handled
from system.kit.store import Store
from system.recommendation.recommender import Recommender
from system.recommendation.retraining import PENDING
from system.recommendation.wanted import UserId

EVENT = "user.purchased"
# A message may come again as long as somebody may bring it back from the dead.
SEEN_SECONDS = 90 * 24 * 3600

# An older event that comes later does not make the item any older: order does not matter.
_RECORD = """
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[2], 'GT', ARGV[2], ARGV[3])
redis.call('HINCRBY', KEYS[3], 'events', 1)
redis.call('HSETNX', KEYS[3], 'first', ARGV[4])
redis.call('HSET', KEYS[3], 'last', ARGV[4])
return 1
"""


class Purchased(BaseModel):
    """What this service reads of the event; there may be more in it."""

    userId: UserId
    itemId: Annotated[str, Field(min_length=1, max_length=64)]
    occurredAt: AwareDatetime


class Bought:
    """`store` keeps what was bought, `kept` what the gateway answered before."""

    def __init__(self, store: Store, kept: Store, recommender: Recommender) -> None:
        self._store = store
        self._kept = kept
        self._recommender = recommender
        self._script = store.script(_RECORD)

    async def handle(self, purchased: Purchased, received: Received) -> Handled:
        """The record comes last: where anything before it fails, all is done again, and does no harm."""
        if await self._store.ask(lambda redis: redis.exists(_seen(received.message_id))):
            return "duplicate"
        unknown = await self._recommender.like(purchased.userId, [purchased.itemId])
        if unknown:
            # A later model may know it.
            telemetry.logger("purchase").warning("unknown_item", itemId=purchased.itemId)
        await answers.drop(self._kept, purchased.userId)
        first = await self._record(received.message_id, purchased.userId, purchased.itemId, purchased.occurredAt)
        return "done" if first else "duplicate"

    async def _record(self, message_id: UUID, user: str, item: str, occurred: datetime) -> bool:
        """Whether this event is new."""
        keys = _seen(message_id), bought_key(user), PENDING
        values = SEEN_SECONDS, _milliseconds(occurred.timestamp()), item, _milliseconds(time.time())
        return bool(await self._store.ask(lambda redis: self._script(keys, values, client=redis)))


def bought_key(user: str) -> str:
    """A sorted set: the items, by when each was bought last, in milliseconds."""
    return f"bought:{user}"


def _seen(message_id: UUID) -> str:
    return f"seen:{message_id}"


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
