"""The event bus on RabbitMQ: what is published is confirmed, what is consumed is tried again and never dropped.

`publish` returns after the broker has the message on disk. A consumer gets each
message at least once, in no certain order, and must know by `message_id` what it
has handled before. What fails is tried again later, with growing waits; what
cannot be read, or has failed too often, is set aside in the queue of the dead.
`python -m system.kit.dead` shows those, and brings them back.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import aio_pika
from opentelemetry.trace import SpanKind
from pydantic import BaseModel

from system.kit import background, signals, telemetry, topology
from system.kit.broker import BROKEN, CONNECT_SECONDS, Link
from system.kit.client import UnavailableError
from system.kit.consumer import (
    BODY_LIMIT_BYTES,
    OCCURRED,
    Consumer,
    Handler,
    PoisonError,
    Received,
    Subscription,
    attributes,
)

__all__ = ["Bus", "Handler", "PoisonError", "Received"]

M = TypeVar("M", bound=BaseModel)

HANDLE_SECONDS = 30.0
DRAIN_SECONDS = 5.0
# First and longest pause before the next attempt to connect.
RECONNECT_SECONDS = (0.2, 2.0)
WATCH_SECONDS = 1.0


class Bus:
    """A service's connection to the broker, kept up for as long as the block lasts.

    `publishes` are the events that it may publish; `retry_seconds` is the first
    wait before another attempt.
    """

    def __init__(self, service: str, url: str, *, publishes: Sequence[str] = (), retry_seconds: float = 1.0) -> None:
        self.edge = f"{service}->rabbitmq"
        self._service = service
        self._url = url
        self._publishes = tuple(publishes)
        self._waits = topology.delays(retry_seconds)
        self._subscriptions: list[Subscription[Any]] = []
        self._link: Link | None = None
        self._running: asyncio.Task[None] | None = None
        signals.announce_edge(self.edge, falls_back=False)
        for event in publishes:
            signals.announce_published(event)

    def subscribe(
        self,
        event: str,
        model: type[M],
        handle: Handler[M],
        *,
        prefetch: int = 16,
        seconds: float = HANDLE_SECONDS,
        temporary: tuple[type[Exception], ...] = (UnavailableError,),
    ) -> None:
        """Before the block is entered: `handle` gets each message of `event`, up to `prefetch` at a time.

        It returns "duplicate" for what it had handled before. A PoisonError sets the
        message aside at once, a `temporary` one is waited out, however long it takes,
        and any other is tried again a few times.
        """
        if self._service not in topology.CONSUMERS.get(event, ()):
            raise ValueError(f"system/kit/topology.py does not name {self._service} as a consumer of {event}")
        queue = topology.queue(self._service, event)
        self._subscriptions.append(Subscription(event, queue, model, handle, prefetch, seconds, temporary))
        signals.announce_consumed(queue)

    async def __aenter__(self) -> Self:
        """Returns at once: a broker that is not there yet is waited for in the background."""
        self._running = asyncio.create_task(self._stay_connected(), name="bus")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running:
            await background.end(self._running)
        # What is still at work may publish.
        if self._link:
            await self._link.drain(DRAIN_SECONDS)
            self._link = None

    async def ready(self) -> None:
        """Raises UnavailableError while there is no connection."""
        self._connected()

    async def publish(
        self,
        event: str,
        body: BaseModel | bytes,
        *,
        message_id: uuid.UUID,
        headers: Mapping[str, str] | None = None,
        occurred: datetime | None = None,
    ) -> None:
        """Returns once the broker has confirmed. Raises UnavailableError: then it may or may not have the message.

        `headers` are what `telemetry.outgoing_headers()` was where the event arose; None: here and now.
        Raises ValueError for a body that is too large, or an event that this bus does not publish.
        """
        if event not in self._publishes:
            raise ValueError(f"this bus was not made to publish {event}")
        content = body if isinstance(body, bytes) else body.model_dump_json(by_alias=True).encode()
        if len(content) > BODY_LIMIT_BYTES:
            raise ValueError(f"{event} {message_id} has {len(content)} bytes; {BODY_LIMIT_BYTES} is the most")
        carried = dict(telemetry.outgoing_headers() if headers is None else headers)
        context = telemetry.received_context((name.encode(), text.encode()) for name, text in carried.items())
        name = f"{event} publish"
        with (
            telemetry.correlated(carried.get(telemetry.CORRELATION_HEADER, "")),
            telemetry.TRACER.start_as_current_span(name, context=context, kind=SpanKind.PRODUCER) as span,
        ):
            span.set_attributes(attributes(topology.EXCHANGE, str(message_id)))
            telemetry.PROPAGATOR.inject(carried)
            await self._send(event, self._message(event, content, message_id, carried, occurred))

    def _message(
        self, event: str, content: bytes, message_id: uuid.UUID, headers: Mapping[str, str], occurred: datetime | None
    ) -> aio_pika.Message:
        when = occurred or datetime.now(UTC)
        return aio_pika.Message(
            content,
            headers={**headers, OCCURRED: int(when.timestamp() * 1000)},
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(message_id),
            timestamp=when,
            type=event,
            app_id=self._service,
        )

    async def _send(self, event: str, message: aio_pika.Message) -> None:
        started = time.monotonic()
        try:
            mandatory = bool(topology.CONSUMERS.get(event))
            await self._connected().send(topology.EXCHANGE, event, message, mandatory=mandatory)
        except UnavailableError as error:
            signals.EDGE_REQUESTS.labels(self.edge, "failure").inc()
            signals.PUBLISHED.labels(event, "failed").inc()
            telemetry.logger().warning(signals.LOG_EDGE_FAILURE, edge=self.edge, reason=error.reason, error=str(error))
            raise
        signals.EDGE_REQUESTS.labels(self.edge, "success").inc()
        signals.EDGE_DURATION.labels(self.edge).observe(time.monotonic() - started)
        signals.PUBLISHED.labels(event, "confirmed").inc()
        telemetry.logger().info(signals.LOG_PUBLISHED, event_name=event, messageId=message.message_id)

    def _connected(self) -> Link:
        if self._link is None or not self._link.alive:
            raise UnavailableError(self.edge, "connection", "not connected")
        return self._link

    async def _stay_connected(self) -> None:
        pause, longest = RECONNECT_SECONDS
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    link = await self._connect()
            except BROKEN as error:
                telemetry.logger("connect").warning(signals.LOG_BROKER, error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)
                continue
            self._link, pause = link, RECONNECT_SECONDS[0]
            telemetry.logger("connected").info(signals.LOG_BROKER)
            watch = asyncio.create_task(self._watch(link))
            try:
                await link.lost()
            finally:
                watch.cancel()
            self._link = None
            telemetry.logger("lost").warning(signals.LOG_BROKER)
            # A queue made again at once after its deletion keeps consumers who never hear of either.
            await asyncio.sleep(pause)

    async def _watch(self, link: Link) -> None:
        """Whoever publishes measures too: a consumer that is gone tells nothing of what waits for it."""
        own = [each.queue for each in self._subscriptions]
        filled = [
            topology.queue(name, event) for event in self._publishes for name in topology.CONSUMERS.get(event, ())
        ]
        queues = dict.fromkeys([*own, *filled])
        names = [*queues, *map(topology.dead, queues)]
        if not names:
            return
        try:
            with suppress(*BROKEN):
                while True:
                    for name, waiting in (await link.measure(names)).items():
                        signals.QUEUE_MESSAGES.labels(name).set(waiting)
                    await asyncio.sleep(WATCH_SECONDS)
            link.give_up()
        finally:
            # What was true before is not known any more.
            for name in names:
                signals.QUEUE_MESSAGES.labels(name).set(math.nan)

    async def _connect(self) -> Link:
        link = await Link.open(self.edge, self._url, self._service)
        try:
            events = list(dict.fromkeys([*self._publishes, *(each.event for each in self._subscriptions)]))
            new = await link.lacks(events)
            # Who consumes nothing tries nothing again.
            await topology.declare(link.channel, events, self._waits if self._subscriptions else ())
            await asyncio.sleep(topology.SETTLE_SECONDS if new else 0)
            for each in self._subscriptions:
                await link.consume(each.queue, Consumer(each, link, self._waits).take, each.prefetch)
        except BaseException:
            await link.close()
            raise
        return link
