"""From the bus into the audit trail, on a real RabbitMQ and PostgreSQL: each decision once, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from servers import Postgres, Rabbit, Service, ServiceFactory, eventually_async
from test_audit import app, ask, assert_sound, decision

from system.kit import dead, telemetry, topology
from system.kit.bus import Bus
from system.kit.client import UnavailableError
from system.kit.decisions import EVENT, Decision

QUEUE = topology.queue("audit-svc", EVENT)
WITHIN = 30.0


@pytest.fixture(scope="module")
def service(services: ServiceFactory, audit_owner: str, rabbit: Rabbit) -> Service:
    return services(
        "system.audit",
        DATABASE_URL=app(audit_owner),
        MIGRATION_URL=audit_owner,
        BROKER_URL=rabbit.url,
        BUS_RETRY_SECONDS="0.02",
    )


@pytest.fixture
async def bus(rabbit: Rabbit, service: Service) -> AsyncIterator[Bus]:
    async with Bus("chat-svc", rabbit.url, publishes=[EVENT]) as made:
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    await made.ready()
                    break
                except UnavailableError:
                    await asyncio.sleep(0.02)
        yield made


async def tell(bus: Bus, *decisions: Decision) -> None:
    await asyncio.gather(*(bus.publish(EVENT, each, message_id=each.id) for each in decisions))


def recorded(service: Service, model: str) -> int:
    return sum(each["decisions"] for each in ask(service, "/totals", model=model))


async def all_recorded(service: Service, model: str, count: int) -> None:
    await eventually_async(lambda: recorded(service, model) >= count, WITHIN, f"not {count} of {model}")


async def set_aside(rabbit: Rabbit) -> list[dict[str, Any]]:
    async with await aio_pika.connect(rabbit.url) as connection:
        return await dead.show(await connection.channel(), QUEUE)


async def test_what_was_told_stands_in_the_trail_once(service: Service, bus: Bus) -> None:
    telemetry.CORRELATION_ID.set("story-of-audit")
    told = [decision(model="once", input={"number": number}) for number in range(150)]
    await tell(bus, *told)
    await tell(bus, *told[:50])
    last = decision(model="last")
    await tell(bus, last)
    await all_recorded(service, "last", 1)
    await all_recorded(service, "once", 150)

    def repeated() -> bool:
        return (service.metric("audit_entries_total", outcome="duplicate") or 0) >= 50

    await eventually_async(repeated, WITHIN, "what came again was not looked at")
    assert recorded(service, "once") == 150
    kept = ask(service, f"/decisions/{told[7].id}")
    assert (kept["userId"], kept["input"], kept["confidence"]) == ("ada", {"number": 7}, 0.5)
    assert "story-of-audit" in service.log.read_text()
    assert_sound(service)


async def test_what_cannot_be_written_is_set_aside_alone(service: Service, bus: Bus, rabbit: Rabbit) -> None:
    first = decision(model="first")
    await tell(bus, first)
    await all_recorded(service, "first", 1)
    # No database knows this time; pydantic does.
    odd = decision(model="odd").model_dump(mode="json", by_alias=True) | {"timestamp": "0001-01-01T00:00:00+14:00"}
    forged = first.model_copy(update={"model": "forged"})
    good = [decision(model="good") for _ in range(40)]
    unreadable = str(uuid.uuid4())
    await asyncio.gather(
        tell(bus, *good),
        tell(bus, forged),
        bus.publish(EVENT, json.dumps(odd).encode(), message_id=uuid.UUID(odd["id"])),
        bus.publish(EVENT, b'{"id": 1}', message_id=uuid.UUID(unreadable)),
    )
    await all_recorded(service, "good", 40)
    errors: dict[str, str] = {}
    async with asyncio.timeout(WITHIN):
        while not {str(forged.id), odd["id"], unreadable} <= errors.keys():
            errors = {each["messageId"]: each["error"] for each in await set_aside(rabbit)}
            await asyncio.sleep(0.05)
    assert "said something else before" in errors.pop(str(forged.id))
    assert "OverflowError" in errors.pop(odd["id"])
    assert "Field required" in errors.pop(unreadable)
    assert recorded(service, "forged") == recorded(service, "odd") == 0
    assert_sound(service)


async def test_nothing_is_lost_or_doubled_while_database_and_service_die(
    service: Service, bus: Bus, postgres: Postgres
) -> None:
    told = [decision(model="survivor", input={"number": number}) for number in range(400)]
    await tell(bus, *told[:100])
    service.stop(signal.SIGKILL)
    await tell(bus, *told[100:200])
    service.start()
    await tell(bus, *told[200:300])
    postgres.send(signal.SIGSTOP)
    try:
        await tell(bus, *told[300:])
        await tell(bus, *told[::7])

        def waiting() -> bool:
            return (service.metric("queue_consumed_total", queue=QUEUE, outcome="waiting") or 0) > 0

        await eventually_async(waiting, WITHIN, "it does not wait for its database")
    finally:
        postgres.send(signal.SIGCONT)
    await all_recorded(service, "survivor", 400)
    assert recorded(service, "survivor") == 400
    assert_sound(service)
