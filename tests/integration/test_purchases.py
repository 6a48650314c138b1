"""What a purchase changes in recommendation-svc, and in what the gateway keeps."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest
import redis
from aio_pika.exceptions import ChannelNotFoundEntity
from servers import Rabbit, Server, Service, ServiceFactory, eventually

from system.kit import answers, topology
from system.kit.bus import Bus
from system.kit.client import UnavailableError
from system.kit.store import Store
from system.recommendation import bought, retraining

QUEUE = topology.queue("recommendation-svc", bought.EVENT)


async def forget(url: str) -> None:
    """What other stories bought on the same broker would be counted along."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        with suppress(ChannelNotFoundEntity):
            await (await channel.declare_queue(QUEUE, passive=True)).purge()


@pytest.fixture(scope="module")
def service(services: ServiceFactory, redis_server: Server, rabbit: Rabbit) -> Service:
    asyncio.run(forget(rabbit.url))
    return services(
        "system.recommendation",
        CACHE_URL=f"redis://127.0.0.1:{redis_server.port}/1",
        GATEWAY_CACHE_URL=f"redis://127.0.0.1:{redis_server.port}/0",
        STORE_URL=f"redis://127.0.0.1:{redis_server.port}/3",
        BROKER_URL=rabbit.url,
        RETRAIN_QUIET_SECONDS="0.4",
    )


@pytest.fixture
def store(redis_server: Server) -> Iterator[redis.Redis]:
    with redis.Redis(port=redis_server.port, db=3, decode_responses=True) as client:
        yield client


@pytest.fixture
def cache(redis_server: Server) -> Iterator[redis.Redis]:
    with redis.Redis(port=redis_server.port, db=0, decode_responses=True) as client:
        yield client


def event(user: str, item: str, *, ago: float = 0.0) -> bytes:
    occurred = datetime.now(UTC) - timedelta(seconds=ago)
    more = f'"eventId": "{uuid.uuid4()}", "quantity": 1, "occurredAt": "{occurred.isoformat()}"'
    return f'{{"userId": "{user}", "itemId": "{item}", {more}}}'.encode()


def publish(rabbit: Rabbit, *bodies: bytes, message_id: uuid.UUID | None = None) -> None:
    async def run() -> None:
        async with Bus("user-svc", rabbit.url, publishes=[bought.EVENT]) as bus, asyncio.timeout(20):
            while True:
                try:
                    await bus.ready()
                    break
                except UnavailableError:
                    await asyncio.sleep(0.01)
            for body in bodies:
                await bus.publish(bought.EVENT, body, message_id=message_id or uuid.uuid4())

    asyncio.run(run())


def consumed(service: Service, outcome: str) -> float:
    return service.metric("queue_consumed_total", queue=QUEUE, outcome=outcome) or 0.0


def recommended(service: Service, user: str) -> dict[str, object]:
    answer = service.http.post("/recommend", json={"userId": user, "limit": 20})
    assert answer.status_code == 200
    return dict(answer.json())


def test_a_purchase_changes_the_next_recommendations_and_drops_the_kept_ones(
    service: Service, rabbit: Rabbit, store: redis.Redis, cache: redis.Redis
) -> None:
    user, message_id = f"u-{uuid.uuid4()}", uuid.uuid4()
    assert recommended(service, user)["source"] == "popular"
    cache.hset(answers.key(user), "GET /api/recommend x", "old")
    asked = store.xlen(retraining.ASKED)
    done, again = consumed(service, "done"), consumed(service, "duplicate")

    publish(rabbit, event(user, "item-041"), message_id=message_id)
    eventually(lambda: consumed(service, "done") == done + 1, 10, "it was not consumed")
    answer = recommended(service, user)
    assert answer["source"] == "model"
    assert "item-041" not in {item["id"] for item in answer["items"]}  # type: ignore[attr-defined]
    assert not cache.exists(answers.key(user))

    publish(rabbit, event(user, "item-041"), message_id=message_id)
    eventually(lambda: consumed(service, "duplicate") == again + 1, 10, "it was not consumed again")
    assert store.zcard(bought.bought_key(user)) == 1
    eventually(lambda: store.xlen(retraining.ASKED) == asked + 1, 10, "no training was asked for")
    ((_, request),) = store.xrevrange(retraining.ASKED, count=1)
    assert request["events"] == "1", "the duplicate counts"
    assert not store.exists(retraining.PENDING)


def test_many_purchases_ask_for_few_trainings_and_an_old_one_that_comes_late_changes_no_order(
    service: Service, rabbit: Rabbit, store: redis.Redis
) -> None:
    user = f"u-{uuid.uuid4()}"
    asked, done = store.xlen(retraining.ASKED), consumed(service, "done")
    late = [event(user, "item-001", ago=90), event(user, "item-002", ago=30), event(user, "item-003", ago=60)]
    publish(rabbit, *late, event(user, "item-002", ago=500), event(user, "no-such-item"))
    eventually(lambda: consumed(service, "done") == done + 5, 10, "not all were consumed")
    by_time = store.zrange(bought.bought_key(user), 0, -1)
    assert by_time == ["item-001", "item-003", "item-002", "no-such-item"]
    eventually(lambda: sum(events_asked(store)[asked:]) == 5, 10, "no training was asked for all of them")
    assert store.xlen(retraining.ASKED) - asked < 5, "one for each"


def events_asked(store: redis.Redis) -> list[int]:
    return [int(request["events"]) for _, request in store.xrange(retraining.ASKED)]


def test_what_is_no_purchase_is_set_aside(service: Service, rabbit: Rabbit) -> None:
    dead = consumed(service, "dead")
    publish(
        rabbit, b'{"userId": "u"}', event("u" * 200, "item-001"), b'{"userId": "u", "itemId": "i", "occurredAt": 1e99}'
    )
    eventually(lambda: consumed(service, "dead") == dead + 3, 10, "it was not set aside")

    async def purge() -> None:
        async with await aio_pika.connect(rabbit.url) as connection:
            queue = await (await connection.channel()).get_queue(topology.dead(QUEUE))
            await queue.purge()

    asyncio.run(purge())


async def test_an_answer_that_was_on_its_way_is_not_kept(
    redis_server: Server, cache: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SETTLING_MILLISECONDS", 300)
    user, store = f"u-{uuid.uuid4()}", Store("test->cache", f"redis://127.0.0.1:{redis_server.port}/0")
    await answers.keep(store, user, "a", "old", 10_000)
    assert cache.hgetall(answers.key(user)) == {"a": "old"}
    await answers.drop(store, user)
    await answers.keep(store, user, "a", "old", 10_000)
    assert not cache.exists(answers.key(user))
    async with asyncio.timeout(5):
        while not cache.exists(answers.key(user)):
            await answers.keep(store, user, "a", "new", 10_000)
    assert 0 < cache.pttl(answers.key(user)) <= 10_000
    await store.close()
