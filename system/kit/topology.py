"""Which events there are, who gets each, and the queues in which they wait. Declared by everyone who uses them.

A publisher declares the queues of its consumers too: an event from before a
consumer's first start would reach none of its queues, and so be lost.

- exchange `events`: topic, the routing key is the event's name
- `<service>.<event>`: what a consumer has yet to handle
- `<service>.<event>.dead`: what it could not handle, for a person to look at
- `retry.<n>ms`: where what failed waits, whoever is to try it again
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aio_pika.abc import AbstractChannel, ExchangeType
from aio_pika.exceptions import ChannelNotFoundEntity

EXCHANGE = "events"

CONSUMERS: Mapping[str, tuple[str, ...]] = {
    "user.purchased": ("recommendation-svc", "notification-svc"),
    "user.content_created": (),
    "ai-tasks": ("ai-worker",),
    "ai-decisions": ("audit-svc",),
}

# A message that ends its consumer's process each time counts no attempt of its own: after so many the broker puts it
# with the dead. Not fewer, since those that merely wait in the same consumer are counted along.
DELIVERIES = 20
DELAYS = (1, 5, 25, 125)
# A broker that dies within half a second of making a quorum queue has forgotten the queue's name, and with it what was
# confirmed there (rabbitmq-server issue 15725): nothing is published before that time has passed.
SETTLE_SECONDS = 1.0

# Moved from queue to queue by the broker, a message would be lost where the second does not take it at once.
# `reject-publish` is what that strategy asks for; no queue here has a limit.
_QUORUM: Mapping[str, Any] = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def queue(service: str, event: str) -> str:
    return f"{service}.{event}"


def dead(queue_name: str) -> str:
    return f"{queue_name}.dead"


def retry(milliseconds: int) -> str:
    """Both an exchange and its queue."""
    return f"retry.{milliseconds}ms"


def delays(first_seconds: float) -> tuple[int, ...]:
    """What is waited before each further attempt, in milliseconds."""
    return tuple(max(1, round(first_seconds * 1000)) * delay for delay in DELAYS)


async def fresh(channel: AbstractChannel, events: Iterable[str]) -> bool:
    """Whether anything of it has yet to be made. `channel` is then closed: that is how the broker says so."""
    try:
        for event in events:
            for service in CONSUMERS.get(event, ()):
                await channel.declare_queue(queue(service, event), passive=True)
    except ChannelNotFoundEntity:
        return True
    return False


async def declare(channel: AbstractChannel, events: Iterable[str], waits: Sequence[int]) -> None:
    """Makes what is not yet there. Raises ChannelPreconditionFailed where a queue of that name is another one."""
    exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
    for milliseconds in waits:
        await _declare_retry(channel, milliseconds)
    for event in events:
        for service in CONSUMERS.get(event, ()):
            name = queue(service, event)
            await channel.declare_queue(dead(name), durable=True, arguments={"x-queue-type": "quorum"})
            waiting = await channel.declare_queue(
                name,
                durable=True,
                arguments={
                    **_QUORUM,
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": dead(name),
                    "x-delivery-limit": DELIVERIES,
                },
            )
            await waiting.bind(exchange, event)


async def _declare_retry(channel: AbstractChannel, milliseconds: int) -> None:
    """A message waits here under the name of its queue, to which the default exchange brings it back."""
    exchange = await channel.declare_exchange(retry(milliseconds), ExchangeType.FANOUT, durable=True)
    waiting = await channel.declare_queue(
        retry(milliseconds),
        durable=True,
        arguments={**_QUORUM, "x-message-ttl": milliseconds, "x-dead-letter-exchange": ""},
    )
    await waiting.bind(exchange)
