"""The fault `poison` against a real RabbitMQ: its message is in the queue, then set aside, then gone; no other is."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from servers import Rabbit

from gameday.catalogue import Catalogue, Edge, EdgeKind, Service
from gameday.catalogue.model import Location
from gameday.errors import GamedayError
from gameday.faults import poison, registry
from gameday.faults.poison import Poison
from gameday.runtime import Endpoint

WHERE = Location(Path("compose.yml"), 1)


@dataclass
class Place:
    """As much of a runtime as the fault asks for."""

    catalogue: Catalogue
    port: int
    alive: bool = True

    def endpoint(self, _service: str, _port: int | None = None) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    def processes(self, _service: str) -> list[int]:
        return [1] if self.alive else []


@dataclass
class World:
    place: Any
    channel: aio_pika.abc.AbstractChannel
    queue: str

    async def count(self, suffix: str = "") -> int:
        found = await self.channel.declare_queue(f"{self.queue}{suffix}", passive=True)
        return found.declaration_result.message_count or 0

    async def put(self, body: str, suffix: str = "") -> None:
        await self.channel.default_exchange.publish(aio_pika.Message(body.encode()), f"{self.queue}{suffix}")

    async def refuse(self) -> None:
        """The consumer takes one message and sets it aside."""
        queue = await self.channel.declare_queue(self.queue, passive=True)
        message = await queue.get()
        await self.channel.default_exchange.publish(
            aio_pika.Message(message.body, message_id=message.message_id), f"{self.queue}.dead"
        )
        await message.ack()


def catalogue(event: str) -> Catalogue:
    environment = {"BROKER_URL": "amqp://rabbitmq:5672/"}
    services = {
        "mails": Service("mails", WHERE, environment=environment, consumes=(event,)),
        "rabbitmq": Service("rabbitmq", WHERE, expose=(5672,)),
        "lonely": Service("lonely", WHERE, consumes=("nothing",)),
    }
    edges = (Edge("mails", "rabbitmq", 5672, EdgeKind.BROKER, (), env=("BROKER_URL",)),)
    return Catalogue((WHERE.file,), Path(), "test", services, edges)


@pytest.fixture
async def world(rabbit: Rabbit) -> AsyncIterator[World]:
    event = f"bought-{uuid.uuid4().hex}"
    async with await aio_pika.connect(rabbit.url) as connection:
        channel = await connection.channel()
        for suffix in ("", ".dead"):
            await channel.declare_queue(f"mails.{event}{suffix}", durable=True, arguments={"x-queue-type": "quorum"})
        yield World(Place(catalogue(event), rabbit.port), channel, f"mails.{event}")


async def counted(world: World, most: int, suffix: str = "") -> None:
    """Quorum queues count with a delay."""
    async with asyncio.timeout(10):
        while await world.count(suffix) != most:
            await asyncio.sleep(0.05)


async def test_it_waits_is_set_aside_and_is_taken_out_alone(world: World) -> None:
    await world.put("good")
    await world.refuse()
    await counted(world, 1, ".dead")
    fault = Poison(world.queue, {})
    await fault.inject(world.place, "poison-1", 30.0)
    assert (await fault.in_force(world.place)).holds
    await counted(world, 1)
    assert not (await fault.exercised(world.place)).holds
    await world.refuse()
    await counted(world, 2, ".dead")
    met = await fault.exercised(world.place)
    assert (met.holds, met.facts) == (True, {"aside": 2, "before": 1})
    left = await fault.undone(world.place)
    assert (left.holds, left.facts) == (False, {"found in": [f"{world.queue}.dead"]})
    await counted(world, 2, ".dead")
    await fault.undo(world.place)
    await fault.undo(world.place)
    assert (await fault.undone(world.place)).holds
    await counted(world, 1, ".dead")


async def test_what_nobody_took_is_taken_out_of_the_queue(world: World) -> None:
    await world.put("good")
    fault = Poison(world.queue, {"body": "not json"})
    await fault.inject(world.place, "poison-1", 30.0)
    await counted(world, 2)
    await fault.undo(world.place)
    assert (await fault.undone(world.place)).holds
    await counted(world, 1)
    assert not (await fault.exercised(world.place)).holds


async def test_without_its_queue_nothing_is_published_and_the_broker_says_so(world: World) -> None:
    fault = Poison(world.queue, {"suffix": ".nowhere"})
    with pytest.raises(GamedayError, match=r"rabbitmq refused poison: ChannelNotFoundEntity"):
        await fault.inject(world.place, "poison-1", 30.0)
    assert not (await fault.in_force(world.place)).holds
    assert (await fault.undone(world.place)).holds
    assert await world.count() == 0


def test_a_target_that_is_no_queue_names_those_that_are(world: World) -> None:
    def wrong(target: str, **arguments: object) -> str:
        problems = registry.problems("poison", target, arguments, world.place.catalogue)
        return "\n".join(f"{problem.message}. {problem.mend}" for problem in problems)

    assert wrong(world.queue) == ""
    assert "is no queue" in wrong("mails")
    assert f"did you mean '{world.queue}'?" in wrong(world.queue[:-1])
    assert "is no queue" in wrong("lonely.nothing")
    assert wrong(world.queue, body="", sufix="") != ""


def test_what_keeps_it_from_being_published_is_told_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Poison(world.queue, {}).obstacles(world.place) == []
    world.place.alive = False
    assert "rabbitmq has no process" in Poison(world.queue, {}).obstacles(world.place)[0].message
    monkeypatch.setattr(poison, "aio_pika", None)
    assert "gameday[amqp]" in Poison(world.queue, {}).obstacles(world.place)[0].mend
