"""A purchase becomes one mail: notification-svc between a real RabbitMQ, Redis, recommendation-svc and SMTP sink."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import aio_pika
import pytest
import redis
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from ports import free_port
from servers import Rabbit, Server, Service, ServiceFactory, eventually
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from test_gateway import Upstream, noted

from system.kit import dead as dead_messages
from system.kit import telemetry, topology
from system.kit.bus import Bus
from system.kit.client import UnavailableError
from system.notification import jobs
from system.notification.purchases import EVENT

QUEUE = topology.queue("notification-svc", EVENT)
WITHIN = 20.0
GONE = "00000000-0000-4000-8000-000000000000"


async def address(request: Request) -> Response:
    upstream = await noted(request)
    user = request.path_params["user"]
    if upstream.mode.isdigit():
        return JSONResponse({}, int(upstream.mode))
    if user == GONE:
        return JSONResponse({}, 404)
    return JSONResponse({"email": f"{user}@x.example", "name": "Ada"})


@pytest.fixture(scope="module")
def users() -> Iterator[Upstream]:
    upstream = Upstream([Route("/internal/users/{user}/address", address)])
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def smtp_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def sink(services: ServiceFactory, smtp_port: int) -> Service:
    return services("system.mail_sink", SMTP_PORT=str(smtp_port))


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def recommender(services: ServiceFactory, redis_server: Server, grpc_port: int) -> Service:
    cache = f"redis://127.0.0.1:{redis_server.port}/1"
    return services("system.recommendation", CACHE_URL=cache, GRPC_PORT=str(grpc_port))


@pytest.fixture(scope="module")
def stores(redis_server: Server, rabbit: Rabbit) -> dict[str, str]:
    return {"BROKER_URL": rabbit.url, "STORE_URL": f"redis://127.0.0.1:{redis_server.port}/4"}


@pytest.fixture(scope="module")
def environment(
    stores: dict[str, str], users: Upstream, recommender: Service, grpc_port: int, smtp_port: int
) -> dict[str, str]:
    return {
        **stores,
        "USER_URL": users.url,
        "RECOMMENDATION_GRPC_URL": f"grpc://127.0.0.1:{grpc_port}",
        "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        "MAIL_RETRY_SECONDS": "0.05",
        "MAIL_LONGEST_WAIT_SECONDS": "0.2",
        "MAIL_JOB_SECONDS": "1.5",
        "MAIL_CLAIM_SECONDS": "2",
        "MAIL_ATTEMPTS": "3",
        "BUS_RETRY_SECONDS": "0.05",
        "BREAKER_RESET_SECONDS": "0.3",
    }


@pytest.fixture(scope="module")
def service(services: ServiceFactory, environment: dict[str, str], sink: Service) -> Service:
    return services("system.notification", **environment)


@pytest.fixture
def store(redis_server: Server) -> Iterator[redis.Redis]:
    with redis.Redis(port=redis_server.port, db=4, decode_responses=True) as client:
        yield client


def event(user: str, **more: object) -> bytes:
    told = {"userId": user, "itemId": "item-041", "occurredAt": datetime.now(UTC).isoformat()}
    return json.dumps({**told, **more}).encode()


def publish(rabbit: Rabbit, *messages: tuple[uuid.UUID, bytes], correlation: str = "") -> None:
    async def run() -> None:
        async with Bus("user-svc", rabbit.url, publishes=[EVENT]) as bus, asyncio.timeout(20):
            while True:
                try:
                    await bus.ready()
                    break
                except UnavailableError:
                    await asyncio.sleep(0.01)
            for message_id, body in messages:
                with telemetry.correlated(correlation or uuid.uuid4().hex):
                    await bus.publish(EVENT, body, message_id=message_id)

    asyncio.run(run())


def mail(sink: Service, identifier: uuid.UUID) -> dict[str, Any] | None:
    answer = sink.http.get(f"/mails/{identifier}@notification-svc")
    return dict(answer.json()) if answer.status_code == 200 else None


def mailed(sink: Service, identifier: uuid.UUID) -> dict[str, Any]:
    eventually(lambda: mail(sink, identifier) is not None, WITHIN, "no mail came")
    found = mail(sink, identifier)
    assert found
    return found


def outcomes(service: Service, outcome: str) -> float:
    return service.metric("notifications_total", outcome=outcome) or 0.0


def given_up(service: Service, identifier: uuid.UUID) -> dict[str, Any]:
    def find() -> list[dict[str, Any]]:
        return [each for each in service.http.get("/internal/dead").json() if each["id"] == str(identifier)]

    eventually(lambda: bool(find()), WITHIN, "it was not given up")
    return find()[0]


def test_a_purchase_is_one_mail_with_recommendations_and_one_correlation_id_finds_all_of_it(
    service: Service, sink: Service, recommender: Service, rabbit: Rabbit
) -> None:
    identifier, correlation = uuid.uuid4(), f"c-{uuid.uuid4()}"
    publish(rabbit, (identifier, event("user-0001")), (identifier, event("user-0001")), correlation=correlation)
    found = mailed(sink, identifier)
    assert found["to"] == ["user-0001@x.example"]
    assert "Recommended for you" in found["text"]
    answer = recommender.http.post("/recommend", json={"userId": "user-0001", "limit": 5}).json()
    for item in answer["items"]:
        assert f"- {item['title']} ({item['id']})" in found["text"]
    eventually(lambda: service.metric("queue_consumed_total", queue=QUEUE, outcome="duplicate") == 1, WITHIN, "once")
    assert sink.http.get("/counts").json()["repeated"] == 0
    for each in (service, sink):
        lines = each.told(correlation)
        assert lines, f"nothing in {each.log}"
        assert {line["correlationId"] for line in lines} == {correlation}
    queued, sent = (
        {
            line["trace_id"]
            for line in service.told(correlation)
            if line.get("action") == action and line.get("new", True)
        }
        for action in ("queue", "mail")
    )
    assert queued == sent, "the trace does not go through the queue"
    assert len(sent) == 1


def test_popular_items_while_the_recommender_is_gone(
    service: Service, sink: Service, recommender: Service, rabbit: Rabbit
) -> None:
    recommender.send(signal.SIGKILL)
    assert recommender.process
    recommender.process.wait()
    try:
        identifier = uuid.uuid4()
        publish(rabbit, (identifier, event("user-0002")))
        text = mailed(sink, identifier)["text"]
        assert "Popular at the moment" in text
        assert text.count("\n- ") == 5
    finally:
        recommender.start()

    def recommended() -> bool:
        identifier = uuid.uuid4()
        publish(rabbit, (identifier, event("user-0002")))
        return "Recommended for you" in mailed(sink, identifier)["text"]

    eventually(recommended, WITHIN, "the recommender is back, and not asked")


def test_what_is_not_there_is_waited_for(service: Service, sink: Service, users: Upstream, rabbit: Rabbit) -> None:
    users.mode = "503"
    try:
        identifier, before = uuid.uuid4(), outcomes(service, "waiting")
        publish(rabbit, (identifier, event("user-0003")))
        # More often than a failing mail is tried.
        eventually(lambda: outcomes(service, "waiting") >= before + 4, WITHIN, "it is not waited for")
        assert mail(sink, identifier) is None
    finally:
        users.mode = "well"
    mailed(sink, identifier)


def test_a_sink_that_was_gone_gets_its_mails(service: Service, sink: Service, rabbit: Rabbit) -> None:
    sink.stop()
    identifier, before = uuid.uuid4(), outcomes(service, "waiting")
    publish(rabbit, (identifier, event("user-0004")))
    eventually(lambda: outcomes(service, "waiting") > before, WITHIN, "it is not waited for")
    sink.start()
    mailed(sink, identifier)


def test_nobody_is_written_to_who_is_gone(service: Service, sink: Service, rabbit: Rabbit) -> None:
    identifier, before = uuid.uuid4(), outcomes(service, "nobody")
    publish(rabbit, (identifier, event(GONE)))
    eventually(lambda: outcomes(service, "nobody") == before + 1, WITHIN, "it was not settled")
    assert mail(sink, identifier) is None


def test_what_cannot_be_read_is_set_aside_and_named(service: Service, sink: Service, rabbit: Rabbit) -> None:
    wrong = {
        "userId": event("", itemId="x"),
        "occurredAt": event("u", occurredAt="yesterday"),
        "quantity": event("u", quantity=0),
        "JSON": b"{",
    }
    identifiers = {name: uuid.uuid4() for name in wrong}
    publish(rabbit, *((identifiers[name], body) for name, body in wrong.items()))

    async def shown() -> dict[str, str]:
        connection = await aio_pika.connect(rabbit.url)
        async with connection:
            return {m["messageId"]: m["error"] for m in await dead_messages.show(await connection.channel(), QUEUE)}

    told: dict[str, str] = {}

    def all_there() -> bool:
        # What was looked at goes back when the broker gets to it: a second look may miss it.
        told.update(asyncio.run(shown()))
        return set(map(str, identifiers.values())) <= set(told)

    eventually(all_there, WITHIN, "they were not set aside")
    for name, identifier in identifiers.items():
        assert name in told[str(identifier)]
        assert mail(sink, identifier) is None


class Choosy:
    """An SMTP server with an opinion."""

    def __init__(self) -> None:
        self.answer = "250 OK"
        self.got = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:
        self.got += 1
        return self.answer


@pytest.fixture
def choosy(sink: Service, smtp_port: int) -> Iterator[Choosy]:
    """In the sink's place."""
    sink.stop()
    handler = Choosy()
    controller = Controller(handler, hostname="127.0.0.1", port=smtp_port)
    controller.start()
    yield handler
    controller.stop()
    sink.start()


@pytest.mark.parametrize(("answer", "attempts"), [("554 never", 1), ("452 full", 3)])
def test_a_mail_that_is_refused_is_given_up_named_and_brought_back(
    service: Service, choosy: Choosy, rabbit: Rabbit, answer: str, attempts: int
) -> None:
    choosy.answer = answer
    identifier = uuid.uuid4()
    publish(rabbit, (identifier, event("user-0005")))
    dead = given_up(service, identifier)
    assert answer in dead["error"]
    assert dead["job"]["attempts"] == choosy.got == attempts
    queue = jobs.QUEUES[jobs.DEAD]
    eventually(lambda: (service.metric("queue_messages", queue=queue) or 0) >= 1, WITHIN, "nothing tells of it")

    choosy.answer = "250 OK"
    sent = outcomes(service, "sent")
    assert service.http.post(f"/internal/dead/{identifier}/replay").status_code == 202
    eventually(lambda: outcomes(service, "sent") == sent + 1, WITHIN, "it was not sent")
    assert service.http.post(f"/internal/dead/{identifier}/replay").status_code == 404


def test_an_entry_that_is_no_job_is_given_up(service: Service, store: redis.Redis) -> None:
    entry = str(store.xadd(jobs.STREAM, {"job": "{"}))

    def given() -> bool:
        return any(each["id"] == entry for each in service.http.get("/internal/dead").json())

    eventually(given, WITHIN, "it was not given up")
    store.hdel(jobs.DEAD, entry)


@pytest.fixture
def victim(services: ServiceFactory, environment: dict[str, str], service: Service) -> Iterator[Service]:
    """In the service's place."""
    assert service.stop() == 0
    yield services("system.notification", **environment)
    service.start()


def test_what_a_killed_worker_had_taken_is_sent_by_another_once(
    victim: Service, sink: Service, users: Upstream, store: redis.Redis, rabbit: Rabbit
) -> None:
    users.mode = "slow"
    identifier, asked = uuid.uuid4(), len(users.requests)
    publish(rabbit, (identifier, event("user-0006")))
    eventually(lambda: len(users.requests) > asked, WITHIN, "nobody took it")
    victim.send(signal.SIGKILL)
    assert victim.process
    victim.process.wait()
    users.mode = "well"
    assert store.xpending(jobs.STREAM, jobs.GROUP)["pending"] == 1
    victim.start()
    mailed(sink, identifier)
    eventually(lambda: store.xlen(jobs.STREAM) == 0, WITHIN, "the queue does not know")
    assert store.xpending(jobs.STREAM, jobs.GROUP)["pending"] == 0
    assert sink.http.get("/counts").json()["repeated"] == 0


def test_a_store_that_forgot_everything_is_made_ready_again(
    service: Service, sink: Service, store: redis.Redis, rabbit: Rabbit
) -> None:
    store.flushdb()
    identifier = uuid.uuid4()
    publish(rabbit, (identifier, event("user-0007")))
    mailed(sink, identifier)
