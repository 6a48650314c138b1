"""The event bus on a real RabbitMQ."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import aio_pika
import pytest
from ports import free_port
from pydantic import BaseModel
from servers import Rabbit

from system.kit import bus as kit
from system.kit import dead, telemetry, topology
from system.kit.bus import Bus, PoisonError, Received
from system.kit.client import UnavailableError

WITHIN = 20.0
SETTLED = topology.SETTLE_SECONDS


class Note(BaseModel):
    text: str


@pytest.fixture
async def channel(rabbit: Rabbit) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(rabbit.url) as connection:
        yield await connection.channel(on_return_raises=True)


@pytest.fixture
def event(monkeypatch: pytest.MonkeyPatch) -> str:
    """An event of this test alone, for `one-svc` and `two-svc`, tried three times in quick succession."""
    name = f"test.{uuid.uuid4().hex}"
    monkeypatch.setattr(topology, "CONSUMERS", {name: ("one-svc", "two-svc")})
    monkeypatch.setattr(topology, "DELAYS", (1, 2, 3))
    monkeypatch.setattr(topology, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(kit, "WATCH_SECONDS", 0.1)
    return name


class Inbox:
    """What a consumer got, and what it does with it."""

    def __init__(self, act: Callable[[Note], Awaitable[None]] | None = None) -> None:
        self.notes: list[str] = []
        self.ids: list[uuid.UUID] = []
        self.correlations: list[str] = []
        self._act = act

    async def handle(self, note: Note, received: Received) -> str:
        self.correlations.append(telemetry.CORRELATION_ID.get())
        if self._act:
            await self._act(note)
        again = received.message_id in self.ids
        self.ids.append(received.message_id)
        if not again:
            self.notes.append(note.text)
        return "duplicate" if again else "done"


def bus(rabbit: Rabbit, event: str, service: str = "one-svc", inbox: Inbox | None = None, **more: object) -> Bus:
    made = Bus(service, rabbit.url, publishes=[event], retry_seconds=0.05)
    if inbox:
        made.subscribe(event, Note, inbox.handle, **more)  # type: ignore[arg-type]
    return made


async def until(condition: Callable[[], bool], message: str = "it did not happen") -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, message
        await asyncio.sleep(0.01)


async def connected(*buses: Bus) -> None:
    for each in buses:
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    await each.ready()
                    break
                except UnavailableError:
                    await asyncio.sleep(0.01)


async def waiting(rabbit: Rabbit, queue: str) -> int:
    async with await aio_pika.connect(rabbit.url) as connection:
        channel = await connection.channel()
        return (await channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0


async def eventually_dead(rabbit: Rabbit, event: str, count: int) -> None:
    deadline = time.monotonic() + WITHIN
    while await waiting(rabbit, topology.dead(topology.queue("one-svc", event))) != count:
        assert time.monotonic() < deadline, "it was not set aside"
        await asyncio.sleep(0.02)


def outcome(event: str, word: str) -> float:
    from system.kit import signals

    return float(signals.CONSUMED.labels(topology.queue("one-svc", event), word)._value.get())


async def test_every_consumer_gets_an_event_once_also_one_from_before_its_first_start(
    rabbit: Rabbit, event: str
) -> None:
    one, two, first = Inbox(), Inbox(), uuid.uuid4()
    async with bus(rabbit, event) as publisher:
        await connected(publisher)
        telemetry.CORRELATION_ID.set("c-42")
        await publisher.publish(event, Note(text="early"), message_id=first)
        telemetry.CORRELATION_ID.set("")
        async with bus(rabbit, event, "one-svc", one), bus(rabbit, event, "two-svc", two):
            await until(lambda: one.notes == two.notes == ["early"])
            await publisher.publish(event, Note(text="early"), message_id=first)
            await publisher.publish(event, Note(text="late"), message_id=uuid.uuid4())
            await until(lambda: one.notes == two.notes == ["early", "late"])
    assert one.ids.count(first) == two.ids.count(first) == 2
    assert one.correlations[0] == two.correlations[0] == "c-42"
    assert one.correlations[-1] != "c-42"
    assert (outcome(event, "done"), outcome(event, "duplicate")) == (2, 1)


async def test_what_fails_is_tried_again_then_set_aside_and_can_be_brought_back(
    rabbit: Rabbit, event: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    broken, attempts = True, []

    async def act(note: Note) -> None:
        if note.text == "hard":
            attempts.append(time.monotonic())
            if broken:
                raise RuntimeError("no idea")

    inbox, queue = Inbox(act), topology.queue("one-svc", event)
    async with bus(rabbit, event, inbox=inbox) as both:
        await connected(both)
        ids = [uuid.uuid4(), uuid.uuid4()]
        await both.publish(event, Note(text="hard"), message_id=ids[0], headers={"x-correlation-id": "c-1"})
        await both.publish(event, Note(text="easy"), message_id=ids[1])
        await eventually_dead(rabbit, event, 1)
        assert inbox.notes == ["easy"], "a message that fails holds up the next"
        assert len(attempts) == 4
        waits = [later - sooner for sooner, later in pairwise(attempts)]
        assert all(wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.15), strict=True)), waits
        (found,) = await dead.show(channel, queue)
        assert found["messageId"] == str(ids[0])
        assert (found["reason"], found["error"]) == ("failed", "RuntimeError: no idea")
        assert found["correlationId"] == "c-1"
        await channel.close()
    broken = False
    async with bus(rabbit, event, inbox=inbox), await aio_pika.connect(rabbit.url) as connection:
        again = await connection.channel(on_return_raises=True)
        assert await dead.replay(again, queue, str(uuid.uuid4())) == 0
        await again.close()
        again = await connection.channel(on_return_raises=True)
        assert await dead.replay(again, queue) == 1
        await until(lambda: inbox.notes == ["easy", "hard"])
        assert (await dead.counts(connection.channel))[queue] == 0
    assert inbox.correlations[-1] == "c-1"


async def test_what_cannot_be_read_is_set_aside_at_once_with_the_reason(
    rabbit: Rabbit, event: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    async def act(note: Note) -> None:
        if note.text == "poison":
            raise PoisonError("no such item")

    inbox, queue, good = Inbox(act), topology.queue("one-svc", event), str(uuid.uuid4())
    async with bus(rabbit, event, inbox=inbox) as both:
        await connected(both)
        exchange = await channel.get_exchange(topology.EXCHANGE)

        async def send(body: bytes, message_id: str = good, **headers: object) -> None:
            message = aio_pika.Message(body, message_id=message_id, headers=headers)  # type: ignore[arg-type]
            await exchange.publish(message, event)

        await send(b"{")
        await send(b"\xff\xfe")
        await send(b'{"text": 3}')
        await send(b"null")
        await send(b'{"text": "x"}', message_id="7")
        await send(b'{"text": "' + b"x" * 300_000 + b'"}')
        await send(b'{"text": "poison"}')
        await send(b'{"text": "good"}', **{"x-attempt": "nonsense", "traceparent": "00-zz", "x-correlation-id": "\n"})
        await until(lambda: inbox.notes == ["good"])
        await eventually_dead(rabbit, event, 7)
    found = await dead.show(channel, queue)
    assert {each["reason"] for each in found} == {"poison"}
    errors = sorted(each["error"] for each in found)
    for part in ("300012 bytes; 262144", "'7' is no UUID", "no such item", "text: Input", "Invalid JSON"):
        assert any(part in error for error in errors), (part, errors)


async def test_a_consumer_waits_for_what_it_needs_longer_than_it_tries(rabbit: Rabbit, event: str) -> None:
    tries = 0

    async def act(note: Note) -> None:
        nonlocal tries
        tries += 1
        if tries < 8:
            raise UnavailableError("one-svc->store", "connection")

    inbox = Inbox(act)
    async with bus(rabbit, event, inbox=inbox) as both:
        await connected(both)
        await both.publish(event, Note(text="patient"), message_id=uuid.uuid4())
        await until(lambda: inbox.notes == ["patient"])
    assert outcome(event, "waiting") == 7
    assert await waiting(rabbit, topology.dead(topology.queue("one-svc", event))) == 0


async def test_a_message_that_ends_its_consumer_each_time_is_set_aside_by_the_broker(
    rabbit: Rabbit, event: str, monkeypatch: pytest.MonkeyPatch, channel: aio_pika.abc.AbstractChannel
) -> None:
    monkeypatch.setattr(topology, "DELIVERIES", 2)

    async def act(note: Note) -> None:
        assert both._link
        both._link._over()
        await asyncio.sleep(WITHIN)

    both = bus(rabbit, event, inbox=Inbox(act))
    async with both:
        await connected(both)
        message_id = uuid.uuid4()
        await both.publish(event, Note(text="killer"), message_id=message_id)
        await eventually_dead(rabbit, event, 1)
    (found,) = await dead.show(channel, topology.queue("one-svc", event))
    assert (found["messageId"], found["reason"]) == (str(message_id), "delivered too often")


def measured(event: str) -> float:
    from system.kit import signals

    return float(signals.QUEUE_MESSAGES.labels(topology.queue("one-svc", event))._value.get())


async def test_who_publishes_measures_what_nobody_takes_and_knows_nothing_without_the_broker(
    rabbit: Rabbit, event: str
) -> None:
    async with bus(rabbit, event) as publisher:
        await connected(publisher)
        for _ in range(3):
            await publisher.publish(event, Note(text="untaken"), message_id=uuid.uuid4())
        await until(lambda: measured(event) == 3, "nobody tells that they wait")
        assert publisher._link
        publisher._link.give_up()
        await until(lambda: math.isnan(measured(event)), "it tells what was true before")
        await until(lambda: measured(event) == 3, "it does not measure again")
    assert math.isnan(measured(event))


async def test_a_deleted_queue_is_an_error_then_made_again(
    rabbit: Rabbit, event: str, channel: aio_pika.abc.AbstractChannel
) -> None:
    inbox = Inbox()
    async with bus(rabbit, event) as publisher, bus(rabbit, event, inbox=inbox) as consumer:
        await connected(publisher, consumer)
        for service in ("one-svc", "two-svc"):
            await channel.queue_delete(topology.queue(service, event))
        with pytest.raises(UnavailableError, match="no queue takes"):
            await publisher.publish(event, Note(text="lost"), message_id=uuid.uuid4())
        await connected(publisher, consumer)
        await publisher.publish(event, Note(text="kept"), message_id=uuid.uuid4())
        await until(lambda: inbox.notes == ["kept"])


async def test_without_a_broker_a_service_starts_and_says_so(event: str) -> None:
    async with Bus("one-svc", f"amqp://127.0.0.1:{free_port()}/", publishes=[event]) as alone:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="not connected"):
            await alone.publish(event, Note(text="x"), message_id=uuid.uuid4())
        with pytest.raises(UnavailableError):
            await alone.ready()
        assert time.monotonic() - started < 1


async def test_what_was_confirmed_survives_the_brokers_death(
    rabbit: Rabbit, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "SETTLE_SECONDS", SETTLED)
    inbox, confirmed, refused = Inbox(), set[str](), 0
    over = asyncio.Event()

    async def publish() -> None:
        nonlocal refused
        for number in range(10_000):
            if over.is_set():
                return
            try:
                await both.publish(event, Note(text=str(number)), message_id=uuid.uuid4())
                confirmed.add(str(number))
            except UnavailableError:
                refused += 1
                await asyncio.sleep(0.01)

    async with bus(rabbit, event, inbox=inbox, prefetch=4) as both:
        await connected(both)
        task = asyncio.create_task(publish())
        await until(lambda: len(confirmed) >= 200)
        rabbit.kill()
        await until(lambda: refused > 0)
        before = len(confirmed)
        await asyncio.to_thread(rabbit.start)
        await until(lambda: len(confirmed) >= before + 100, "it did not find back")
        over.set()
        await task
        await until(lambda: confirmed <= set(inbox.notes), "confirmed and lost")
        assert len(inbox.notes) == len(set(inbox.notes))


def test_only_what_the_topology_names_is_published_and_consumed(event: str) -> None:
    with pytest.raises(ValueError, match="three-svc as a consumer"):
        Bus("three-svc", "amqp://x/").subscribe(event, Note, Inbox().handle)  # type: ignore[arg-type]


async def test_too_large_or_undeclared_an_event_is_the_publishers_error(event: str) -> None:
    mine = Bus("one-svc", "amqp://x/", publishes=[event])
    with pytest.raises(ValueError, match="262144 is the most"):
        await mine.publish(event, Note(text="x" * 300_000), message_id=uuid.uuid4())
    with pytest.raises(ValueError, match="was not made to publish other"):
        await mine.publish("other", Note(text="x"), message_id=uuid.uuid4())
