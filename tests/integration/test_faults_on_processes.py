"""The conformance suite of the faults on real processes behind real proxies, and PostgreSQL's backends."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from conformance.faults import EDGE, SERVICE, FaultSuite, Ground, processes

from gameday.catalogue import compose
from gameday.errors import GamedayError
from gameday.faults import tree
from gameday.journal import Journal
from gameday.leases import LeaseKeeper, Patience
from gameday.proxy import ProxyHost
from gameday.runtime import Runtime, Wire, procfs
from gameday.runtime.process import ProcessRuntime
from gameday.state import State

COMPOSE = """
services:
  api:
    build: .
    command: [python, api.py]
    environment: {PORT: "80"}
    expose: ["80"]
    healthcheck: {test: [CMD, python, -c, pass], interval: 0.2s}
  web:
    build: .
    command: [sleep, "1000"]
    environment: {API_URL: "http://api:80"}
"""
# Two processes, as a server with a worker: the child must share the fate of its parent.
# Each request wants memory, so that a shortage is met.
API = """
import email.utils, mimetypes, os, subprocess
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
subprocess.Popen(["sleep", "1000"])
mimetypes.init()
class Hungry(SimpleHTTPRequestHandler):
    def do_GET(self):
        bytearray(64 * 1024 * 1024)
        super().do_GET()
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hungry).serve_forever()
"""
DATABASE = """
services:
  db:
    image: postgres:18
    environment: {POSTGRES_PASSWORD: secret}
    healthcheck: {test: [CMD, pg_isready, -U, postgres], interval: 0.5s, retries: 60}
  app:
    build: .
    command: [sleep, "1000"]
    environment: {DATABASE_URL: "postgresql://postgres:secret@db:5432/postgres"}
"""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def system(directory: Path, source: str) -> AsyncIterator[tuple[Runtime, LeaseKeeper]]:
    (directory / "docker-compose.yml").write_text(source)
    (directory / "api.py").write_text(API)
    state = State(directory / "state")
    state.create()
    catalogue = compose.load([directory / "docker-compose.yml"], environment={})
    proxy = ProxyHost()
    await proxy.start()
    runtime = ProcessRuntime(catalogue, state, system=f"test-{directory.name}", proxy=proxy)
    journal = Journal(state.leases)
    keeper = LeaseKeeper(runtime, catalogue, journal, Patience(inject=3.0))
    try:
        await runtime.start()
        await runtime.wait_ready(30)
        yield runtime, keeper
    finally:
        await keeper.close()
        await runtime.stop()
        await proxy.stop()
        journal.close()


def wire_of(runtime: Runtime, edge: str) -> Wire:
    wire = runtime.wire(runtime.catalogue.find(edge)[0])
    assert wire is not None
    return wire


async def answers(wire: Wire, seconds: float = 0.15) -> bool:
    """A request of a consumer that waits for at most `seconds` for the whole answer, its end included."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(wire.listen.host, wire.listen.port)
            writer.write(b"GET /api.py HTTP/1.0\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            return head.split()[1:2] == [b"200"] and body == API.encode()
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


@asynccontextmanager
async def standing(runtime: Runtime, keeper: LeaseKeeper) -> AsyncIterator[Ground]:
    async def attempt() -> bool:
        return await answers(wire_of(runtime, EDGE))

    async def end() -> None:
        for process in runtime.processes(SERVICE):
            procfs.send(process, signal.SIGKILL)
        async with asyncio.timeout(5):
            while runtime.processes(SERVICE):
                await asyncio.sleep(0.01)

    yield Ground(runtime, keeper, attempt, end)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """One system for all stories that leave it whole, or dead."""
    async with system(tmp_path_factory.mktemp("running"), COMPOSE) as (runtime, _):
        yield runtime


@pytest_asyncio.fixture(loop_scope="module")
async def ground(running: Runtime, tmp_path: Path) -> AsyncIterator[Ground]:
    if not running.processes(SERVICE):
        await running.restart(SERVICE)
    journal = Journal(tmp_path / "leases.jsonl")
    keeper = LeaseKeeper(running, running.catalogue, journal, Patience(inject=3.0))
    async with standing(running, keeper) as ground:
        yield ground
    await keeper.close()
    journal.close()


class TestFaults(FaultSuite):
    pass


async def test_the_tree_of_the_ground_is_more_than_one_process(ground: Ground) -> None:
    assert len(ground.runtime.processes(SERVICE)) == 2


async def test_a_killed_service_stays_dead_until_the_lease_is_undone(ground: Ground) -> None:
    await ground.inject("kill")
    for _ in range(10):
        assert not await ground.attempt()
        assert not ground.runtime.processes(SERVICE)
        await asyncio.sleep(0.1)


async def test_a_restarted_service_is_another_process_on_the_same_port(ground: Ground) -> None:
    before, port = processes(ground), ground.runtime.endpoint(SERVICE)
    lease = await ground.keeper.inject("restart", SERVICE, {}, 30.0, "a-run")
    assert lease["state"] == "in-force", lease
    async with asyncio.timeout(20):
        while not (await ground.exercised(lease["id"]))["holds"]:
            pass
    (undone,) = await ground.keeper.undo(lease=lease["id"])
    assert (undone["state"], undone["exercised"]["holds"]) == ("undone", True), undone
    assert not set(before) & set(processes(ground))
    assert ground.runtime.endpoint(SERVICE) == port
    assert await answers(wire_of(ground.runtime, EDGE), 5.0)


async def test_a_proxy_that_died_leaks_the_lease_of_its_edge(tmp_path: Path) -> None:
    async with system(tmp_path, COMPOSE) as (runtime, keeper):
        keeper._patience = Patience(undo=0.5)
        await keeper.inject("latency", EDGE, {"latency": 200}, 30.0, "a-run")
        proxy = procfs.identify(wire_of(runtime, EDGE).host.pid)  # type: ignore[attr-defined]
        assert proxy is not None
        procfs.send(proxy, signal.SIGKILL)
        (lease,) = await keeper.undo(run="a-run")
    assert lease["state"] == "leaked"
    assert "edge proxy" in lease["error"]
    assert lease["mend"] == "gameday down && gameday up --wire all"


async def replicated(tmp_path: Path) -> AsyncIterator[tuple[Runtime, LeaseKeeper]]:
    two = COMPOSE.replace('expose: ["80"]', 'expose: ["80"]\n    deploy: {replicas: 2}')
    async with system(tmp_path, two) as (runtime, keeper):
        yield runtime, keeper


pair = pytest_asyncio.fixture(loop_scope="module")(replicated)


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_one_replica_is_broken_and_the_other_serves(pair: tuple[Runtime, LeaseKeeper], fault: str) -> None:
    runtime, keeper = pair
    wire, whole = wire_of(runtime, EDGE), set(runtime.processes("api-1"))
    lease = await keeper.inject(fault, "api-2", {}, 30.0, "a-run")
    assert lease["state"] == "in-force", lease
    assert set(lease["in_force"]["facts"]["ports"]) == {str(runtime.endpoint("api-2"))}
    assert not lease["exercised"]["holds"]
    # A dead one refuses and is passed over; a silent one keeps who came to it.
    assert [await answers(wire, 0.6) for _ in range(4)].count(True) == (4 if fault == "kill" else 2)
    (undone,) = await keeper.undo(lease=lease["id"])
    assert (undone["state"], undone["exercised"]["holds"]) == ("undone", True), undone
    assert set(runtime.processes("api-1")) == whole
    assert [await answers(wire, 1.0) for _ in range(4)] == [True] * 4
    first = await keeper.inject(fault, "api-1", {}, 30.0, "a-run")
    (undone,) = await keeper.undo(lease=first["id"])
    assert not undone["exercised"]["holds"], undone


async def test_a_service_is_broken_with_all_its_replicas(pair: tuple[Runtime, LeaseKeeper]) -> None:
    runtime, keeper = pair
    wire = wire_of(runtime, EDGE)
    lease = await keeper.inject("kill", SERVICE, {}, 30.0, "a-run")
    assert lease["state"] == "in-force", lease
    assert set(lease["in_force"]["facts"]["ports"]) == {str(runtime.endpoint(name)) for name in ("api-1", "api-2")}
    assert not await answers(wire)
    (undone,) = await keeper.undo(run="a-run")
    assert (undone["state"], undone["exercised"]["holds"]) == ("undone", True), undone
    assert undone["undone"]["facts"]["states"] == {"api-1": "healthy", "api-2": "healthy"}
    assert [await answers(wire, 1.0) for _ in range(4)] == [True] * 4


async def query(connection: psycopg.AsyncConnection[tuple[int]]) -> tuple[int]:
    row = await (await connection.execute("SELECT 1")).fetchone()
    assert row is not None
    return row


@asynccontextmanager
async def database(tmp_path: Path) -> AsyncIterator[tuple[Runtime, LeaseKeeper, psycopg.AsyncConnection[tuple[int]]]]:
    """PostgreSQL with one open connection of a consumer, through the proxy of its edge."""
    async with system(tmp_path, DATABASE) as (runtime, keeper):
        listen = wire_of(runtime, "app->db").listen
        connection = await psycopg.AsyncConnection.connect(
            f"postgresql://postgres:secret@{listen}/postgres", autocommit=True
        )
        try:
            assert await query(connection) == (1,)
            yield runtime, keeper, connection
        finally:
            await connection.close()


async def test_pause_reaches_the_backends_of_postgresql(tmp_path: Path) -> None:
    async with database(tmp_path) as (_, keeper, connection):
        lease = await keeper.inject("pause", "db", {}, 30.0, "a-run")
        assert lease["state"] == "in-force", lease
        assert len(lease["in_force"]["facts"]["processes"]) > 4
        asking = asyncio.create_task(query(connection))
        started = time.monotonic()
        while not keeper.leases()[0]["exercised"]["holds"]:
            assert time.monotonic() - started < 5
            await asyncio.sleep(0.02)
        assert not asking.done()
        (undone,) = await keeper.undo(run="a-run")
        assert (undone["state"], undone["exercised"]["holds"]) == ("undone", True)
        assert await asyncio.wait_for(asking, 5) == (1,)


async def test_a_pause_that_misses_the_backends_is_not_injected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk is broken on purpose: it finds the postmaster alone, as a signal to its pid would."""
    async with database(tmp_path) as (runtime, keeper, connection):
        whole = runtime.processes("db")
        monkeypatch.setattr(tree, "walk", lambda runtime, service: [whole[0]])
        lease = await keeper.inject("pause", "db", {}, 30.0, "a-run")
        assert lease["state"] == "not-injected", lease
        assert "T" in lease["in_force"]["facts"]["processes"].values()
        assert "S" in lease["in_force"]["facts"]["processes"].values()
        assert await query(connection) == (1,)


async def test_kill_of_postgresql_loses_its_connections_and_undo_brings_it_back(tmp_path: Path) -> None:
    async with database(tmp_path) as (runtime, keeper, connection):
        lease = await keeper.inject("kill", "db", {}, 30.0, "a-run")
        assert lease["state"] == "in-force", lease
        with suppress(psycopg.OperationalError):
            await query(connection)
            raise GamedayError("a dead server answered")
        assert not await answers(wire_of(runtime, "app->db"))
        (undone,) = await keeper.undo(run="a-run")
        assert (undone["state"], undone["exercised"]["holds"]) == ("undone", True), undone
