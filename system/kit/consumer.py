"""What becomes of each message of one queue: handled, tried again later, or set aside. Never dropped."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from opentelemetry.trace import SpanKind, Status, StatusCode
from pydantic import BaseModel, ValidationError

from system.kit import deadline, signals, telemetry, topology
from system.kit.broker import BROKEN, Link
from system.kit.client import UnavailableError

M = TypeVar("M", bound=BaseModel)

BODY_LIMIT_BYTES = 256 * 1024
# Headers of ours. OCCURRED in milliseconds, since AMQP's own timestamp knows only seconds; ATTEMPT and WAITED count
# failures and waits so far; the others stand on what is set aside.
OCCURRED, ATTEMPT, WAITED = "x-occurred", "x-attempt", "x-waited"
REASON, ERROR, QUEUE = "x-reason", "x-error", "x-queue"
ERROR_LENGTH = 500
# In these the broker says where a message has been.
BROKERS = ("x-death", "x-first-death-", "x-delivery-count")
# What is only waited out comes again soon once it can be handled.
LONGEST_WAIT = 2


class PoisonError(Exception):
    """A message that cannot be handled, however often it is tried."""


@dataclass(frozen=True)
class Received:
    """What stands beside a message's body."""

    event: str
    queue: str
    message_id: uuid.UUID


Handled = Literal["done", "duplicate"]
Handler = Callable[[M, Received], Awaitable[Handled]]


@dataclass(frozen=True)
class Subscription(Generic[M]):
    """`seconds` is how long one message may take. `temporary` are errors that say nothing against the message."""

    event: str
    queue: str
    model: type[M]
    handle: Handler[M]
    prefetch: int
    seconds: float
    temporary: tuple[type[Exception], ...]


class Consumer(Generic[M]):
    def __init__(self, subscription: Subscription[M], link: Link, waits: Sequence[int]) -> None:
        self._wanted = subscription
        self._link = link
        self._waits = waits

    async def take(self, message: AbstractIncomingMessage) -> None:
        started = time.monotonic()
        headers = _texts(message)
        telemetry.CORRELATION_ID.set(telemetry.correlation_id(headers.get(telemetry.CORRELATION_HEADER)))
        deadline.clear()
        context = telemetry.received_context((name.encode(), text.encode()) for name, text in headers.items())
        name = f"{self._wanted.event} process"
        with telemetry.TRACER.start_as_current_span(name, context=context, kind=SpanKind.CONSUMER) as span:
            span.set_attributes(attributes(self._wanted.queue, message.message_id or ""))
            outcome, error = await self._settled(message)
            if error:
                span.set_status(Status(StatusCode.ERROR))
            self._tell(message, outcome, error, time.monotonic() - started)

    async def _settled(self, message: AbstractIncomingMessage) -> tuple[signals.Consumption, Exception | None]:
        """What became of the message, and what went wrong with it."""
        problem: Exception | None = None
        try:
            try:
                body, received = read(message, self._wanted)
                async with deadline.Timeout(self._wanted.seconds):
                    outcome: signals.Consumption = await self._wanted.handle(body, received)
            except PoisonError as error:
                outcome, problem = await self._set_aside(message, "poison", error), error
            except self._wanted.temporary as error:
                outcome, problem = await self._wait(message), error
            except Exception as error:  # noqa: BLE001  whatever it is, the message must not be lost
                outcome, problem = await self._again(message, error), error
            await message.ack()
        except (UnavailableError, *BROKEN) as error:
            # Not settled: the broker gives it out again, here or on the next connection.
            with suppress(*BROKEN):
                await message.nack(requeue=True)
            return "returned", error
        return outcome, problem

    async def _again(self, message: AbstractIncomingMessage, error: Exception) -> signals.Consumption:
        failed = _count(message, ATTEMPT) + 1
        if failed > len(self._waits):
            return await self._set_aside(message, "failed", error)
        await self._later(message, self._waits[failed - 1], {ATTEMPT: failed})
        return "retried"

    async def _wait(self, message: AbstractIncomingMessage) -> signals.Consumption:
        waited = _count(message, WAITED) + 1
        await self._later(message, self._waits[min(waited - 1, LONGEST_WAIT)], {WAITED: waited})
        return "waiting"

    async def _later(self, message: AbstractIncomingMessage, milliseconds: int, headers: Mapping[str, Any]) -> None:
        await self._link.send(topology.retry(milliseconds), self._wanted.queue, copy(message, headers))

    async def _set_aside(self, message: AbstractIncomingMessage, reason: str, error: Exception) -> signals.Consumption:
        headers = {REASON: reason, ERROR: f"{type(error).__name__}: {error}"[:ERROR_LENGTH], QUEUE: self._wanted.queue}
        await self._link.send("", topology.dead(self._wanted.queue), copy(message, headers))
        return "dead"

    def _tell(
        self, message: AbstractIncomingMessage, outcome: signals.Consumption, error: Exception | None, seconds: float
    ) -> None:
        queue = self._wanted.queue
        signals.CONSUMED.labels(queue, outcome).inc()
        signals.HANDLING_DURATION.labels(queue).observe(seconds)
        if outcome == "done" and (occurred := _count(message, OCCURRED)):
            signals.MESSAGE_AGE.labels(queue).observe(max(0.0, time.time() - occurred / 1000))
        log = telemetry.logger().bind(
            queue=queue, messageId=message.message_id, outcome=outcome, latencyMs=round(seconds * 1000, 2)
        )
        if error:
            log.warning(signals.LOG_CONSUMED, error=f"{type(error).__name__}: {error}"[:ERROR_LENGTH])
        else:
            log.info(signals.LOG_CONSUMED)


def read(message: AbstractIncomingMessage, wanted: Subscription[M]) -> tuple[M, Received]:
    """Raises PoisonError for what no further attempt can make readable."""
    if message.body_size > BODY_LIMIT_BYTES:
        raise PoisonError(f"{message.body_size} bytes; {BODY_LIMIT_BYTES} is the most")
    try:
        message_id = uuid.UUID(message.message_id)
    except (ValueError, TypeError, AttributeError):
        raise PoisonError(f"message_id {message.message_id!r} is no UUID") from None
    try:
        body = wanted.model.model_validate_json(message.body)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors())
        raise PoisonError("; ".join(problems)) from None
    return body, Received(wanted.event, wanted.queue, message_id)


def copy(message: AbstractIncomingMessage, headers: Mapping[str, Any]) -> aio_pika.Message:
    """The same message with more headers, less the broker's.

    By those it would take a message that comes by once more for one that runs in circles, and drop it.
    """
    kept = {name: value for name, value in message.headers.items() if not name.startswith(BROKERS)}
    return aio_pika.Message(
        message.body,
        headers={**kept, **headers},
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )


def attributes(destination: str, message_id: str) -> dict[str, str]:
    """By OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": destination,
        "messaging.message.id": message_id,
    }


def _texts(message: AbstractIncomingMessage) -> dict[str, str]:
    found = {}
    for name, value in message.headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if isinstance(text, str):
            found[name] = text
    return found


def _count(message: AbstractIncomingMessage, header: str) -> int:
    value = message.headers.get(header)
    return value if isinstance(value, int) and value > 0 else 0
