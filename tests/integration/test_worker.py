"""ai-worker between a real RabbitMQ, Redis and emulator, with documents and a receiver that misbehave on request."""

from __future__ import annotations

import asyncio
import inspect
import json
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aio_pika
import pytest
from servers import Rabbit, Server, Service, ServiceFactory, eventually
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from test_gateway import Upstream, noted

from system.kit import dead, telemetry, topology
from system.kit.bus import Bus
from system.kit.client import UnavailableError
from system.kit.tasks import EVENT, Task
from system.kit.webhook import ID, Secrets

SECRET = "whsec_" + "YWFh" * 12
QUEUE = topology.queue("ai-worker", EVENT)
DOCUMENT = {"id": "x", "userId": "u", "title": "Tents", "text": "Tents keep rain out. Some weigh little. Others last."}
WITHIN = 15.0


async def document(request: Request) -> Response:
    upstream = await noted(request)
    if upstream.mode.isdigit():
        return JSONResponse({}, int(upstream.mode))
    return JSONResponse(DOCUMENT)


@pytest.fixture(scope="module")
def content() -> Iterator[Upstream]:
    upstream = Upstream([Route("/internal/documents/{id}", document)])
    upstream.start()
    yield upstream
    upstream.stop()


class Gateway(Upstream):
    """The receiver. What a callback meets is decided by its task, so that no test waits for another."""

    def __init__(self) -> None:
        super().__init__([Route("/webhook/summary", self.receive, methods=["POST"])])
        self.answers: dict[str, list[Any]] = {}
        self.got: dict[str, list[tuple[dict[str, str], bytes]]] = {}

    async def receive(self, request: Request) -> Response:
        headers, body = dict(request.headers), await request.body()
        task = json.loads(body)["taskId"]
        Secrets.read(SECRET).verify(headers, body, time.time())
        self.got.setdefault(task, []).append((headers, body))
        plan = self.answers.get(task) or [204]
        answer = plan.pop(0) if len(plan) > 1 else plan[0]
        if inspect.isfunction(answer):
            answer = answer()
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = 204
        return answer if isinstance(answer, Response) else Response(status_code=answer)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    upstream = Gateway()
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def emulator(services: ServiceFactory) -> Service:
    return services("system.llm_emulator", LLM_FIRST_TOKEN_SECONDS="0.01", LLM_TOKEN_SECONDS="0.001")


@pytest.fixture(scope="module")
def addresses(redis_server: Server, rabbit: Rabbit) -> dict[str, str]:
    return {"STORE_URL": f"redis://127.0.0.1:{redis_server.port}/0", "BROKER_URL": rabbit.url}


@pytest.fixture(scope="module")
def worker(
    services: ServiceFactory, addresses: dict[str, str], emulator: Service, content: Upstream, gateway: Gateway
) -> Service:
    return services(
        "system.ai_worker",
        **addresses,
        CONTENT_URL=content.url,
        CALLBACK_URLS=f"api-gateway={gateway.url}",
        WEBHOOK_SECRET=SECRET,
        ANTHROPIC_BASE_URL=str(emulator.http.base_url),
        ANTHROPIC_API_KEY="k",
        BUS_RETRY_SECONDS="0.02",
        CALLBACK_WAIT_SECONDS="0.02",
        CALLBACK_LONGEST_WAIT_SECONDS="0.2",
        CALLBACK_ATTEMPTS="4",
        CALLBACK_TIMEOUT_SECONDS="0.4",
        # A receiver for all tests must not be kept from one by another.
        BREAKER_FAILURES="100",
        BREAKER_RESET_SECONDS="0.2",
        LLM_ATTEMPT_SECONDS="2",
    )


@pytest.fixture
async def bus(rabbit: Rabbit, worker: Service) -> AsyncIterator[Bus]:
    async with Bus("api-gateway", rabbit.url, publishes=[EVENT]) as made:
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    await made.ready()
                    break
                except UnavailableError:
                    await asyncio.sleep(0.02)
        yield made


async def send(bus: Bus, **changes: object) -> str:
    """The id of a task that was published."""
    told = {
        "id": uuid.uuid4(),
        "type": "generate-summary",
        "documentId": uuid.uuid4(),
        "callbackUrl": "http://api-gateway:3000/webhook/summary",
    }
    wanted = Task.model_validate(told | changes)
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                await bus.publish(EVENT, wanted, message_id=wanted.id)
                return str(wanted.id)
            except UnavailableError:
                await asyncio.sleep(0.05)


async def until(condition: Any, message: str) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():
            await asyncio.sleep(0.02)


async def set_aside(rabbit: Rabbit, message_id: str) -> dict[str, Any]:
    """How the queue of the dead shows a message, once it is there."""
    async with asyncio.timeout(WITHIN), await aio_pika.connect(rabbit.url) as connection:
        while True:
            channel = await connection.channel()
            for each in await dead.show(channel, QUEUE):
                if each["messageId"] == message_id:
                    return each
            await channel.close()
            await asyncio.sleep(0.05)


async def bring_back(rabbit: Rabbit, message_id: str) -> None:
    """Who has looked at the dead still holds them for a moment."""
    async with asyncio.timeout(WITHIN), await aio_pika.connect(rabbit.url) as connection:
        while True:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            if await dead.replay(channel, QUEUE, message_id) == 1:
                return
            await channel.close()


async def test_a_summary_is_made_and_told_under_the_same_correlation_id(
    bus: Bus, gateway: Gateway, content: Upstream, worker: Service
) -> None:
    telemetry.CORRELATION_ID.set("c-42")
    wanted = uuid.uuid4()
    task = await send(bus, documentId=wanted)
    await until(lambda: task in gateway.got, "no callback came")
    ((headers, body),) = gateway.got[task]
    told = json.loads(body)
    assert (told["status"], told["documentId"]) == ("succeeded", str(wanted))
    assert told["summary"] == "Tents keep rain out. Some weigh little."
    assert (headers[ID], headers["x-correlation-id"]) == (task, "c-42")
    assert headers["traceparent"]
    asked = [heads for path, heads, _ in content.requests if path == f"/internal/documents/{wanted}"]
    assert [heads["x-correlation-id"] for heads in asked] == ["c-42"]
    await send(bus, id=task, documentId=wanted)
    other = await send(bus)
    await until(lambda: other in gateway.got, "no callback came")
    assert len(gateway.got[task]) == 1, "a task that came twice was told twice"
    listed = [each for each in worker.http.get("/internal/told").json() if each["taskId"] == task]
    assert listed == [{"taskId": task, "correlationId": "c-42"}]


async def test_what_cannot_be_done_is_set_aside_by_name_and_holds_nobody_up(
    bus: Bus, gateway: Gateway, rabbit: Rabbit
) -> None:
    unknown = await send(bus, type="mine-bitcoin")
    inside = await send(bus, callbackUrl="http://169.254.169.254/latest/meta-data/")
    ids = [str(uuid.uuid4()) for _ in range(3)]
    bodies = [b"{", b'{"id": 1}', b'{"type": "' + b"x" * 300_000 + b'"}']
    async with await aio_pika.connect(rabbit.url) as connection:
        exchange = await (await connection.channel()).get_exchange(topology.EXCHANGE)
        for id_, body in zip(ids, bodies, strict=True):
            await exchange.publish(aio_pika.Message(body, message_id=id_), EVENT)
    task = await send(bus)
    await until(lambda: task in gateway.got, "a message that cannot be read holds up the next")
    assert "unknown task type 'mine-bitcoin'" in (await set_aside(rabbit, unknown))["error"]
    assert "callbackUrl: a callback outside this system has to be https" in (await set_aside(rabbit, inside))["error"]
    for id_, words in zip(ids, ("Invalid JSON", "documentId: Field required", "262144 is the most"), strict=True):
        assert words in (await set_aside(rabbit, id_))["error"]


async def test_a_receiver_that_fails_for_a_while_is_told_in_the_end_and_not_before_it_asked_for(
    bus: Bus, gateway: Gateway
) -> None:
    task = str(uuid.uuid4())
    patience = Response(status_code=503, headers={"retry-after": "1"})
    gateway.answers[task] = [500, patience, 204]
    await send(bus, id=task)
    times: list[float] = []

    def arrived() -> bool:
        times.extend([time.monotonic()] * (len(gateway.got.get(task, ())) - len(times)))
        return len(times) == 3

    await until(arrived, "it was not tried again")
    assert times[2] - times[1] > 0.9
    assert {headers[ID] for headers, _ in gateway.got[task]} == {task}
    assert len({body for _, body in gateway.got[task]}) == 1


ELSEWHERE = Response(status_code=307, headers={"location": "http://169.254.169.254/latest/"})


@pytest.mark.parametrize(
    ("answer", "attempts", "why"),
    [
        (500, 4, "the receiver answered 500"),
        (9.0, 4, "no answer within 0.4 s"),
        (ELSEWHERE, 1, "307: redirects are not followed"),
        (410, 1, "the receiver answered 410"),
    ],
    ids=["500", "silent", "redirect", "gone"],
)
async def test_what_a_receiver_does_not_take_is_set_aside_and_brought_back(  # noqa: PLR0917
    bus: Bus, gateway: Gateway, rabbit: Rabbit, answer: Any, attempts: int, why: str
) -> None:
    task = str(uuid.uuid4())
    gateway.answers[task] = [answer]
    await send(bus, id=task)
    found = await set_aside(rabbit, task)
    assert f"callback not delivered in {attempts} attempts: {why}" in found["error"]
    assert len(gateway.got[task]) == attempts
    gateway.answers[task] = [204]
    await bring_back(rabbit, task)
    await until(lambda: len(gateway.got[task]) == attempts + 1, "it was not told after it was brought back")


async def test_a_document_that_is_not_there_is_told(bus: Bus, gateway: Gateway, content: Upstream) -> None:
    content.mode = "404"
    task = await send(bus)
    await until(lambda: task in gateway.got, "no callback came")
    told = json.loads(gateway.got[task][0][1])
    assert (told["status"], told["error"]) == ("failed", "there is no such document")
    content.mode = "well"


async def test_while_documents_or_the_model_are_away_tasks_wait(
    bus: Bus, gateway: Gateway, content: Upstream, emulator: Service, worker: Service
) -> None:
    content.mode = "503"
    first = await send(bus)
    before = worker.metric("queue_consumed_total", queue=QUEUE, outcome="waiting") or 0

    def waiting() -> float:
        return (worker.metric("queue_consumed_total", queue=QUEUE, outcome="waiting") or 0) - before

    await until(lambda: waiting() >= 2, "the task does not wait")
    emulator.stop(signal.SIGKILL)
    content.mode = "well"
    second = await send(bus)
    await until(lambda: waiting() >= 6, "the tasks do not wait")
    assert not {first, second} & set(gateway.got)
    emulator.start()
    await until(lambda: {first, second} <= set(gateway.got), "what waited was lost")
    assert (worker.metric("ai_tasks_total", outcome="succeeded") or 0) >= 2


async def test_a_worker_that_is_killed_while_it_tells_tells_the_same_again(
    bus: Bus, gateway: Gateway, worker: Service
) -> None:
    """As seen by the receiver: one delivery, since both have one id."""
    task, done = str(uuid.uuid4()), str(uuid.uuid4())

    def kill() -> int:
        assert worker.process
        worker.process.kill()
        worker.process.wait()
        return 204

    gateway.answers[task] = [kill, 204]
    await send(bus, id=task)
    await until(lambda: task in gateway.got, "no callback came")
    await send(bus, id=done)
    assert done not in gateway.got
    await asyncio.to_thread(worker.start)
    await until(lambda: len(gateway.got[task]) == 2 and done in gateway.got, "the message was lost with its worker")
    assert {headers[ID] for headers, _ in gateway.got[task]} == {task}
    assert len({body for _, body in gateway.got[task]}) == 1, "the model was asked again"


def test_wrong_settings_end_the_start_with_their_names_and_no_secret(services: ServiceFactory) -> None:
    told = {"STORE_URL": "redis://x", "BROKER_URL": "amqp://x", "CONTENT_URL": "http://x", "ANTHROPIC_API_KEY": "k"}
    for wrong, words in (
        ({"WEBHOOK_SECRET": "hunter2"}, "WEBHOOK_SECRET secret 1 is no base64"),
        ({"WEBHOOK_SECRET": SECRET, "CALLBACK_URLS": "http://x"}, "CALLBACK_URLS 'http://x' is not name=http"),
    ):
        failed = services("system.ai_worker", wait=False, **told, **wrong)
        assert failed.process
        assert failed.process.wait(20) == 1
        assert words in failed.log.read_text()
        assert "hunter2" not in failed.log.read_text()


def test_the_health_of_a_worker_is_asked_as_any_other(worker: Service) -> None:
    eventually(worker.ready, 5, "not ready")
    assert worker.http.get("/metrics").status_code == 200
