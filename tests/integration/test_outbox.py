"""From a purchase to the bus, by way of user-svc's outbox."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

import aio_pika
import httpx
import psycopg
import pytest
from servers import Postgres, Rabbit, Service, ServiceFactory, eventually

from system.kit import database, topology
from system.kit.client import UnavailableError
from system.users import outbox, relay, service
from system.users.relay import Relay

BOUGHT = 40
QUEUE = topology.queue("recommendation-svc", outbox.PURCHASED)


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> str:
    return postgres.create("outbox")


@pytest.fixture
async def pool(url: str) -> AsyncIterator[database.Pool]:
    await database.migrate(url, service.VERSIONS)
    async with database.pool(url) as pool:
        async with database.transaction(pool) as connection:
            await connection.execute("TRUNCATE outbox")
        yield pool


class FakeBus:
    """Confirms all but what is in `refused`."""

    def __init__(self) -> None:
        self.published: list[uuid.UUID] = []
        self.refused: set[uuid.UUID] = set()

    async def publish(
        self, event: str, body: bytes, *, message_id: uuid.UUID, headers: dict[str, str], occurred: datetime
    ) -> None:
        await asyncio.sleep(0)
        if message_id in self.refused:
            raise UnavailableError("user-svc->rabbitmq", "timeout")
        self.published.append(message_id)


async def write(pool: database.Pool, *keys: str) -> list[uuid.UUID]:
    """An event for each of `keys`, in this order."""
    ids = [uuid.uuid4() for _ in keys]
    async with database.transaction(pool) as connection:
        for key, event_id in zip(keys, ids, strict=True):
            await outbox.tell(connection, outbox.PURCHASED, key, {"n": key}, event_id)
    return ids


async def unpublished(pool: database.Pool) -> int:
    async with database.transaction(pool) as connection:
        return await outbox.waiting(connection)


async def test_one_users_events_stay_in_order_while_another_users_go_on(pool: database.Pool) -> None:
    bus = FakeBus()
    a1, b1, a2, b2, a3 = await write(pool, "a", "b", "a", "b", "a")
    bus.refused = {a2}
    mine = Relay(pool, bus)  # type: ignore[arg-type]
    with pytest.raises(UnavailableError):
        await mine.turn()
    assert set(bus.published) == {a1, b1, b2}, "a3 must not pass a2"
    assert await unpublished(pool) == 2
    bus.refused = set()
    assert await mine.turn()
    assert not await mine.turn()
    assert [each for each in bus.published if each in (a1, a2, a3)] == [a1, a2, a3]
    assert bus.published.index(b1) < bus.published.index(b2)
    assert len(bus.published) == 5


async def test_two_replicas_never_hold_events_of_the_same_user(pool: database.Pool) -> None:
    await write(pool, "a", "b", "a")
    async with database.transaction(pool) as first, database.transaction(pool) as second:
        assert [event.key for event in await outbox.claim(first, 10)] == ["a", "b", "a"]
        await write(pool, "a", "c")
        assert [event.key for event in await outbox.claim(second, 10)] == ["c"]
    assert await unpublished(pool) == 5, "what was claimed and not marked is still there"


async def test_one_user_with_much_to_tell_does_not_keep_a_turn_from_ending(pool: database.Pool) -> None:
    async with database.transaction(pool) as connection:
        await connection.execute(
            "INSERT INTO outbox (id, type, key, payload, headers)"
            " SELECT gen_random_uuid(), 'user.purchased', 'a', '{}', '{}' FROM generate_series(1, 30000)"
        )
    bus = FakeBus()
    assert await Relay(pool, bus).turn()  # type: ignore[arg-type]
    assert len(bus.published) == relay.BATCH


async def test_what_was_published_long_ago_is_forgotten(pool: database.Pool) -> None:
    await write(pool, "a", "a", "a")
    async with database.transaction(pool) as connection:
        numbers = [event.number for event in await outbox.claim(connection, 10)]
        await outbox.mark(connection, numbers[:2])
        await connection.execute(
            "UPDATE outbox SET published_at = now() - interval '8 days' WHERE number = %s", numbers[:1]
        )
        assert await outbox.forget(connection, 10) == 1
    assert await unpublished(pool) == 1


def sign_up(users: Service) -> tuple[str, str]:
    """The id of a new user and an access token."""
    account = {"email": f"{uuid.uuid4()}@example.org", "password": "correct horse"}
    user = users.http.post("/users", json={**account, "name": "A"}).json()["id"]
    return user, users.http.post("/users/login", json=account).json()["access_token"]


def buy(replicas: list[Service], token: str, number: int) -> None:
    """At the first replica that answers. The key makes it one purchase, wherever it was sent."""
    headers = {"authorization": f"Bearer {token}", "idempotency-key": str(number), "x-correlation-id": f"c-{number}"}
    for replica in (replicas[number % 2], replicas[(number + 1) % 2]):
        with suppress(httpx.TransportError):
            answer = replica.http.post("/users/me/purchases", json={"itemId": f"item-{number}"}, headers=headers)
            assert answer.status_code in (200, 201), answer.text
            return
    raise AssertionError("no replica answers")


def test_every_purchase_reaches_the_bus_in_order_though_a_replica_is_killed(
    services: ServiceFactory, url: str, rabbit: Rabbit
) -> None:
    replicas = [services("system.users", DATABASE_URL=url, BROKER_URL=rabbit.url) for _ in range(2)]
    people = dict(sign_up(replicas[0]) for _ in range(4))
    asyncio.run(_take(rabbit))

    def buy_all(user: str) -> None:
        for number in range(BOUGHT):
            if user == next(iter(people)) and number == BOUGHT // 2:
                replicas[1].send(signal.SIGKILL)
            buy(replicas, people[user], number)

    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(buy_all, people))
    eventually(lambda: published(url, people) == BOUGHT * len(people), 20, "some wait in the outbox")
    messages = asyncio.run(_take(rabbit))
    for user in people:
        mine = [message for message in messages if json.loads(message.body)["userId"] == user]
        assert len({message.message_id for message in mine}) == BOUGHT
        items = dict.fromkeys(json.loads(message.body)["itemId"] for message in mine)
        assert list(items) == [f"item-{number}" for number in range(BOUGHT)], "lost, or out of order"
    one = messages[0]
    body = json.loads(one.body)
    assert (one.type, one.message_id, one.content_type) == ("user.purchased", body["eventId"], "application/json")
    assert one.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert one.headers["x-correlation-id"] == "c-0"
    assert str(one.headers["traceparent"]).startswith("00-")
    assert datetime.fromisoformat(body["occurredAt"]).timestamp() == pytest.approx(one.timestamp.timestamp(), abs=1)  # type: ignore[union-attr]


def published(url: str, users: Collection[str]) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM outbox WHERE key = ANY(%s) AND published_at IS NOT NULL", (list(users),)
        ).fetchone()
        assert row
        return int(row[0])


async def _take(rabbit: Rabbit) -> list[aio_pika.abc.AbstractIncomingMessage]:
    """All that waits for recommendation-svc, which is then empty."""
    async with await aio_pika.connect(rabbit.url) as connection:
        channel = await connection.channel()
        await topology.declare(channel, outbox.EVENTS, [])
        queue = await channel.get_queue(QUEUE)
        messages = []
        while (message := await queue.get(fail=False)) is not None:
            messages.append(message)
            await message.ack()
        return messages
