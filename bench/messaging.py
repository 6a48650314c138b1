"""Four ways to hand work to another service: REST, gRPC, a queue in Redis, an event on RabbitMQ.

    python bench/messaging.py [--rounds 3] [--seconds 2] [--json]

REST and gRPC ask recommendation-svc and have its answer. The queue is that of mails, the event one that it is bought:
both are done once a consumer, which has nothing else to do, has settled the message. The last row is done once the
broker has confirmed. 16 callers at a time, then one alone. Whoever answers or handles has one core for itself.
Needs RabbitMQ (Debian).
Example: python bench/messaging.py --rounds 1
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from calls import CALLERS, Ask, Contestant, compared, grpc, rest, service, show
from gateway import parser, redis
from servers import Rabbit
from stack import LOAD_CORE, MEASURED_CORE, Pinned, Stack, free_port, need, stack

from system.kit import telemetry
from system.kit.bus import Bus, Received
from system.kit.consumer import Handled
from system.kit.store import Store
from system.notification.jobs import Job, Jobs
from system.notification.purchases import EVENT, Purchased

CLAIM_SECONDS, BLOCK_SECONDS = 60.0, 0.5
Tell = Callable[[uuid.UUID], None]


def main() -> int:
    arguments = parser(__doc__).parse_args()
    telemetry.setup("bench", "warning")
    with stack() as made, rabbit(made) as broker:
        server, rest_port, grpc_port = service(made)
        store = f"redis://127.0.0.1:{redis(made)}/0"
        heard, bus_told = handler(made, "bus", broker)
        worker, queue_told = handler(made, "queue", store)
        contestants = {
            "REST": Contestant(server, lambda: rest(rest_port)),
            "gRPC": Contestant(server, lambda: grpc(grpc_port)),
            "queue in Redis": Contestant(worker, lambda: queue(store, queue_told)),
            "event on RabbitMQ": Contestant(heard, lambda: bus(broker, bus_told)),
            "event, confirmed only": Contestant(heard, lambda: bus(broker, None)),
        }
        rounds = compared(contestants, arguments.rounds, arguments.seconds)
    if arguments.json:
        print(rounds.json("REST"))
    else:
        show(rounds, contestants, f"{CALLERS} at a time")
    return 0


@contextmanager
def rabbit(made: Stack) -> Iterator[str]:
    """Its daemon of names would outlive it."""
    (made.directory / "rabbitmq").mkdir()
    server = Rabbit([], free_port(), made.directory / "rabbitmq" / "log")
    server.command = [need("taskset", "apt-get install util-linux"), "-c", str(LOAD_CORE), *server.command]
    try:
        server.start()
        yield server.url
    finally:
        server.end()


def handler(made: Stack, kind: str, url: str) -> tuple[Pinned, int]:
    """A process that handles messages, and the port at which it says of which."""
    port = free_port()
    command = [sys.executable, __file__, "handle", kind, url, str(port)]
    return made.start(kind, command, port, MEASURED_CORE, LOG_LEVEL="warning"), port


async def bus(url: str, told: int | None) -> AsyncIterator[Ask]:
    async with Bus("user-svc", url, publishes=[EVENT]) as publisher, Handlings(told) as handlings:
        while True:
            with suppress(Exception):
                await publisher.ready()
                break
            await asyncio.sleep(0.05)

        async def ask(user: str) -> None:
            message = uuid.uuid4()
            bought = Purchased(userId=user, itemId="item-042", occurredAt=datetime.now(UTC))
            done = handlings.of(message)
            await publisher.publish(EVENT, bought, message_id=message)
            await done

        yield ask


async def queue(url: str, told: int) -> AsyncIterator[Ask]:
    store = Store("bench->store", url)
    jobs = Jobs(store, "bench", CLAIM_SECONDS)
    async with Handlings(told) as handlings:

        async def ask(user: str) -> None:
            job = Job(id=uuid.uuid4(), user=user, item="item-042", occurred=datetime.now(UTC))
            done = handlings.of(job.id)
            await jobs.put(job)
            await done

        yield ask
    await store.close()


class Handlings:
    """What the handler at a port says that it has handled; without one nothing is waited for."""

    def __init__(self, port: int | None) -> None:
        self._port = port
        self._waiting: dict[bytes, asyncio.Future[None]] = {}

    async def __aenter__(self) -> Handlings:
        if self._port:
            reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._port:
            self._reading.cancel()
            self._writer.close()

    def of(self, message: uuid.UUID) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        if self._port:
            self._waiting[message.bytes] = done
        else:
            done.set_result(None)
        return done

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            done = self._waiting.pop(await reader.readexactly(16), None)
            if done and not done.done():
                done.set_result(None)


async def handle(kind: str, url: str, port: int) -> None:
    """The other process: settles each message, and says so to all who are connected."""
    listening: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening.add(writer)
        await reader.read()
        listening.discard(writer)

    def tell(message: uuid.UUID) -> None:
        for writer in listening:
            writer.write(message.bytes)

    async with await asyncio.start_server(connected, "127.0.0.1", port):
        await (_hear(url, tell) if kind == "bus" else _work(url, tell))


async def _hear(url: str, tell: Tell) -> None:
    async def heard(_: Purchased, received: Received) -> Handled:
        tell(received.message_id)
        return "done"

    bus_ = Bus("notification-svc", url)
    bus_.subscribe(EVENT, Purchased, heard)
    async with bus_:
        await asyncio.Event().wait()


async def _work(url: str, tell: Tell) -> None:
    jobs = Jobs(Store("bench->store", url, timeout=2 * BLOCK_SECONDS), "worker", CLAIM_SECONDS)
    await jobs.prepare()
    while True:
        if taken := await jobs.take(BLOCK_SECONDS):
            await jobs.done(taken)
            tell(Job.model_validate_json(taken.text).id)


if __name__ == "__main__":
    if sys.argv[1:2] == ["handle"]:
        asyncio.run(handle(sys.argv[2], sys.argv[3], int(sys.argv[4])))
    sys.exit(main())
