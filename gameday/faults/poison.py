"""A message that its consumer cannot read.

Published straight into the queue of the consumer, where the broker confirms it; a sound consumer sets it aside.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from gameday.catalogue import Catalogue, Edge, EdgeKind
from gameday.errors import GamedayError, Problem
from gameday.faults import Evidence, arguments
from gameday.runtime import Runtime

try:
    import aio_pika
    from aio_pika.abc import AbstractChannel, AbstractQueue
    from aio_pika.exceptions import AMQPError
except ImportError:  # pragma: no cover - a machine without the extra
    aio_pika = None  # type: ignore[assignment]

_PATIENCE = 3.0


class PoisonArguments(arguments.Arguments):
    """`body` is the message. `suffix` makes of the queue's name that of the queue for what is set aside."""

    body: str = Field(default="{", min_length=1)
    suffix: str = Field(default=".dead", min_length=1)


class Poison:
    """The target is a queue, `<consumer>.<event>`. The message goes by the name of the lease."""

    name = "poison"
    takes: type[arguments.Arguments] = PoisonArguments

    def __init__(self, target: str, given: Mapping[str, Any], lease: str | None = None) -> None:
        """`lease` has published it already, in a system before this one."""
        self.target = target
        self.arguments = given
        self._id = lease
        self._before = 0

    def problems(self, catalogue: Catalogue) -> Sequence[Problem]:
        return [*self._target_problems(catalogue), *arguments.problems(self.name, self.takes, self.arguments)]

    def obstacles(self, runtime: Runtime) -> Sequence[Problem]:
        if aio_pika is None:
            return [
                Problem("aio-pika is not installed: nobody could talk with the broker", "pip install 'gameday[amqp]'")
            ]
        broker = self._edge(runtime.catalogue).provider
        if runtime.processes(broker):
            return []
        message = f"{broker} has no process: nobody would take a message"
        return [Problem(message, f"gameday restart {broker}", key="target", value=self.target)]

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - a message has no end
        given = self._given
        async with self._channel(runtime) as channel:
            self._before = await _waiting(channel, self._aside)
            body = given.body.encode()
            message = aio_pika.Message(body, message_id=lease, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, self.target, mandatory=True)
        self._id = lease

    async def in_force(self, runtime: Runtime) -> Evidence:
        """Confirmed by the broker, which would have returned it had it no such queue; who takes it may hold it."""
        async with self._channel(runtime) as channel:
            waiting = await _waiting(channel, self.target)
        return Evidence(self._id is not None, {"confirmed": self._id, "waiting": waiting})

    async def exercised(self, runtime: Runtime) -> Evidence:
        """Its consumer took it, and set it aside."""
        async with self._channel(runtime) as channel:
            aside = await _waiting(channel, self._aside)
        return Evidence(aside > self._before, {"aside": aside, "before": self._before})

    async def undo(self, runtime: Runtime) -> None:
        """Takes it out of the queue that it is in."""
        if self._id is not None:
            async with self._channel(runtime) as channel:
                for name in (self._aside, self.target):
                    await _found(channel, name, self._id, take=True)

    async def undone(self, runtime: Runtime) -> Evidence:
        if self._id is None:
            return Evidence(True, {"reason": "it was never published"})
        async with self._channel(runtime) as channel:
            found = [name for name in (self._aside, self.target) if await _found(channel, name, self._id)]
        return Evidence(not found, {"found in": found})

    def mend(self) -> str:
        return f"gameday up, which undoes it, or take the message out of {self._aside}"

    @property
    def _given(self) -> PoisonArguments:
        return PoisonArguments.model_validate(dict(self.arguments))

    @property
    def _aside(self) -> str:
        return f"{self.target}{self._given.suffix}"

    def _target_problems(self, catalogue: Catalogue) -> list[Problem]:
        able = sorted(queue for queue in catalogue.queues if _broker(catalogue, queue))
        if self.target in able:
            return []
        message = f"{self.target!r} is no queue of a consumer that has a broker"
        return [Problem(message, arguments.nearest(self.target, able), key="target", value=self.target)]

    def _edge(self, catalogue: Catalogue) -> Edge:
        edge = _broker(catalogue, self.target)
        assert edge is not None  # noqa: S101 - the problems have looked
        return edge

    @asynccontextmanager
    async def _channel(self, runtime: Runtime) -> AsyncIterator[AbstractChannel]:
        """Past any proxy, by the name and password of the consumer. Raises GamedayError."""
        edge = self._edge(runtime.catalogue)
        told = urlsplit(runtime.catalogue.services[edge.consumer].environment[edge.env[0]])
        who = told.netloc.rpartition("@")[0] or "guest:guest"
        url = f"amqp://{who}@{runtime.endpoint(edge.provider, edge.port)}{told.path or '/'}"
        try:
            async with await aio_pika.connect(url, timeout=_PATIENCE) as connection:
                yield await connection.channel(publisher_confirms=True, on_return_raises=True)
        except (AMQPError, OSError) as error:
            raise GamedayError(f"{edge.provider} refused {self.name}: {type(error).__name__}: {error}") from error


def _broker(catalogue: Catalogue, queue: str) -> Edge | None:
    """The edge from the consumer of `queue` to its broker."""
    consumer = queue.partition(".")[0]
    brokers = (edge for edge in catalogue.edges if edge.consumer == consumer and edge.kind is EdgeKind.BROKER)
    return next((edge for edge in brokers if edge.env), None)


async def _declared(channel: AbstractChannel, name: str) -> AbstractQueue:
    return await channel.declare_queue(name, passive=True)


async def _waiting(channel: AbstractChannel, name: str) -> int:
    return (await _declared(channel, name)).declaration_result.message_count or 0


async def _found(channel: AbstractChannel, name: str, message_id: str, *, take: bool = False) -> bool:
    """Whether the message is there, or was until it was taken. All others stay."""
    queue, others, found = await _declared(channel, name), [], False
    for _ in range(queue.declaration_result.message_count or 0):
        message = await queue.get(fail=False)
        if message is None:
            break
        ours = message.message_id == message_id
        found = found or ours
        if ours and take:
            await message.ack()
        else:
            others.append(message)
    for message in others:
        await message.nack(requeue=True)
    return found
