"""One connection to RabbitMQ, from when it is made until it is lost. What a channel loses, the whole link loses.

aio-pika's own reconnection is not used: it brings back channels and consumers one
by one, and a service that finds its queue changed or gone must see that at once.
Everything is made anew, topology included, which takes some 20 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, PublishError

from system.kit import deadline, topology
from system.kit.client import UnavailableError

# What a broker that is gone looks like, depending on when it goes.
BROKEN = (AMQPError, OSError, RuntimeError, TimeoutError)

CONNECT_SECONDS = 5.0
CONFIRM_SECONDS = 5.0
CLOSE_SECONDS = 1.0
# Without traffic, a broker that says nothing is given up after about three times as long.
HEARTBEAT_SECONDS = 10

Take = Callable[[AbstractIncomingMessage], Awaitable[None]]


class Link:
    """Made by `open`; over once `lost` returns."""

    def __init__(self, edge: str, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self.channel = channel
        self._edge = edge
        self._connection = connection
        self._exchanges: dict[str, AbstractExchange] = {}
        self._consumed: list[tuple[AbstractQueue, str]] = []
        self._lost = asyncio.Event()
        self._at_work: set[asyncio.Task[None]] = set()
        connection.close_callbacks.add(self._over)
        channel.close_callbacks.add(self._over)

    @property
    def alive(self) -> bool:
        return not self._lost.is_set()

    @classmethod
    async def open(cls, edge: str, url: str, name: str) -> Self:
        """Raises one of BROKEN. `name` is how the broker's tools show the connection."""
        connection = await aio_pika.connect(
            url, timeout=CONNECT_SECONDS, heartbeat=HEARTBEAT_SECONDS, client_properties={"connection_name": name}
        )
        try:
            return cls(edge, connection, await connection.channel(publisher_confirms=True, on_return_raises=True))
        except BaseException:
            await connection.close()
            raise

    async def send(self, exchange: str, key: str, message: aio_pika.Message, *, mandatory: bool = True) -> None:
        """Returns once the broker has confirmed. Raises UnavailableError: then it may or may not have the message."""
        try:
            async with deadline.Timeout(CONFIRM_SECONDS):
                there = await self._exchange(exchange)
                await there.publish(message, key, mandatory=mandatory)
        except PublishError as error:
            # A queue was deleted: the next link declares it again.
            self.give_up()
            raise UnavailableError(self._edge, "status", f"no queue takes {key}") from error
        except TimeoutError as error:
            raise UnavailableError(self._edge, "timeout", f"no confirmation in {CONFIRM_SECONDS:g} s") from error
        except Exception as error:  # aiormq raises a bare Exception where a connection goes while it writes
            raise UnavailableError(self._edge, "connection", f"{type(error).__name__}: {error}") from error

    async def consume(self, name: str, take: Take, prefetch: int) -> None:
        """Calls `take` with each message of the queue, up to `prefetch` at a time."""

        async def work(message: AbstractIncomingMessage) -> None:
            await self._work(take(message))

        channel = await self._connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(self._over)
        # The broker ends a consumer whose queue is deleted.
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(self._over)
        await channel.set_qos(prefetch_count=prefetch)
        queue = await channel.get_queue(name, ensure=False)
        self._consumed.append((queue, await queue.consume(work)))

    async def lacks(self, events: Sequence[str]) -> bool:
        """Whether the broker has yet to hear of a queue of these events."""
        channel = await self._connection.channel(publisher_confirms=False)
        new = await topology.fresh(channel, events)
        if not new:
            await channel.close()
        return new

    async def measure(self, names: Iterable[str]) -> Mapping[str, int]:
        """How many messages wait in each of the queues."""
        channel = await self._connection.channel(publisher_confirms=False)
        try:
            declared = {name: await channel.declare_queue(name, passive=True) for name in names}
        finally:
            await channel.close()
        return {name: each.declaration_result.message_count or 0 for name, each in declared.items()}

    def give_up(self) -> None:
        self._lost.set()

    async def lost(self) -> None:
        await self._lost.wait()
        await self.close()

    async def drain(self, seconds: float) -> None:
        """Takes no more messages, lets those at work end, and closes."""
        with suppress(*BROKEN):
            async with asyncio.timeout(seconds):
                for queue, tag in self._consumed:
                    await queue.cancel(tag)
                await asyncio.gather(*self._at_work, return_exceptions=True)
        await self.close()

    async def close(self) -> None:
        self._lost.set()
        with suppress(*BROKEN):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.close()

    async def _work(self, handling: Awaitable[None]) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101
        self._at_work.add(task)
        try:
            await handling
        finally:
            self._at_work.discard(task)

    async def _exchange(self, name: str) -> AbstractExchange:
        if name not in self._exchanges:
            self._exchanges[name] = await self.channel.get_exchange(name, ensure=False)
        return self._exchanges[name]

    def _over(self, *_: Any) -> None:
        self._lost.set()
