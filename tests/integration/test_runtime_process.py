"""The process runtime on real processes: the conformance suite, then what only real ones can do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conformance.runtimes import COMPOSE, RuntimeSuite, state

from gameday.catalogue import compose
from gameday.errors import GamedayError, InputError
from gameday.proxy import ProxyHost
from gameday.runtime import NotReady, ProcessId, Runtime, State, procfs, tracker
from gameday.runtime.process import ProcessRuntime
from gameday.state import State as StateDirectory

Make = Callable[..., ProcessRuntime]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes runtimes of a compose text; ends what they left."""
    made: list[ProcessRuntime] = []
    tracker.adopt_orphans()

    def build(text: str, **options: object) -> ProcessRuntime:
        (tmp_path / "compose.yml").write_text(text)
        catalogue = compose.load([tmp_path / "compose.yml"], environment={"PATH": os.environ["PATH"]})
        made.append(
            ProcessRuntime(catalogue, StateDirectory(tmp_path / "state"), system=f"test-{os.getpid()}", **options)
        )  # type: ignore[arg-type]
        return made[-1]

    yield build
    for runtime in made:
        await runtime.stop()
    assert not tracker.marked(f"test-{os.getpid()}")
    tracker.adopt_orphans(False)


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


class TestConformance(RuntimeSuite):
    @pytest.fixture
    async def runtime(self, make: Make) -> AsyncIterator[ProcessRuntime]:
        proxy = ProxyHost()
        await proxy.start()
        yield make(COMPOSE, proxy=proxy)
        await proxy.stop()

    async def crash(self, runtime: Runtime, service: str) -> None:
        for process in runtime.processes(service):
            procfs.send(process, signal.SIGKILL)
        async with asyncio.timeout(5):
            while await state(runtime, service) is not State.EXITED:
                await asyncio.sleep(0.01)


def service(program: Path | str, **more: object) -> str:
    """A compose file of one service `app` that runs `program`."""
    command = [sys.executable, str(program)] if isinstance(program, Path) else ["/bin/sh", "-c", program]
    return json.dumps({"services": {"app": {"build": ".", "command": command, **more}}})


async def test_a_service_that_crashes_at_start_shows_its_last_words(make: Make, tmp_path: Path) -> None:
    (tmp_path / "crash.py").write_text("print('no such table: accounts')\nraise SystemExit(7)\n")
    runtime = make(service(tmp_path / "crash.py", expose=["80"]))
    await runtime.start()
    with pytest.raises(NotReady, match=r"app: ended while starting: exit code 7\n  no such table: accounts"):
        await runtime.wait_ready(20)


async def test_what_waits_for_a_crashed_service_is_never_started(make: Make) -> None:
    services = json.loads(service("exit 3", expose=["80"]))
    services["services"]["web"] = {
        "build": ".", "command": ["sleep", "60"], "depends_on": {"app": {"condition": "service_healthy"}},
    }  # fmt: skip
    runtime = make(json.dumps(services))
    with pytest.raises(NotReady, match="app: ended while starting: exit code 3"):
        await runtime.start()
    assert await state(runtime, "web") is State.PENDING


async def test_a_job_that_completed_lets_the_others_start(make: Make, tmp_path: Path) -> None:
    services = json.loads(service(f"sleep 0.5; echo done > {tmp_path}/done"))
    services["services"]["web"] = {
        "build": ".", "command": ["/bin/sh", "-c", f"cat {tmp_path}/done; sleep 60"],
        "depends_on": {"app": {"condition": "service_completed_successfully"}},
    }  # fmt: skip
    runtime = make(json.dumps(services))
    await runtime.start()
    await runtime.wait_ready(20)
    await until(lambda: runtime.logs("web").read_text() == "done\n")
    assert await state(runtime, "app") is State.EXITED


async def test_a_job_that_failed_keeps_the_others_from_starting(make: Make) -> None:
    services = json.loads(service("sleep 0.3; exit 3"))
    services["services"]["web"] = {
        "build": ".", "command": ["sleep", "60"],
        "depends_on": {"app": {"condition": "service_completed_successfully"}},
    }  # fmt: skip
    runtime = make(json.dumps(services))
    with pytest.raises(NotReady, match="app: ended before its work was done: exit code 3"):
        await runtime.start()
    assert await state(runtime, "web") is State.PENDING


async def test_a_stopped_process_and_one_that_ignores_sigterm_are_ended(make: Make) -> None:
    text = json.loads(service("trap '' TERM; while :; do sleep 1; done", stop_grace_period="300ms"))
    text["services"]["paused"] = {"build": ".", "command": ["sleep", "60"]}
    runtime = make(json.dumps(text))
    await runtime.start()
    await runtime.wait_ready(20)
    for process in runtime.processes("paused"):
        procfs.send(process, signal.SIGSTOP)
    await runtime.stop()
    assert not runtime.members()


async def test_the_keeper_of_traces_ends_after_who_sends_it_some(make: Make, tmp_path: Path) -> None:
    (tmp_path / "keeper.py").write_text(
        "import os, signal, socket\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        "listening = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
        "signal.sigwait({signal.SIGTERM})\n"
        f"open('{tmp_path}/ended', 'a').write('keeper ')\n"
    )
    slow = f"trap 'sleep 0.3; echo app >> {tmp_path}/ended; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    text = json.loads(service(slow, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://keeper:4318"}))
    text["x-gameday"] = {"telemetry": {"traces": "keeper"}}
    text["services"]["keeper"] = {
        "build": ".", "command": [sys.executable, str(tmp_path / "keeper.py")],
        "environment": {"PORT": 4318}, "expose": ["4318"],
    }  # fmt: skip
    runtime = make(json.dumps(text), wired=False)
    await runtime.start()
    await runtime.wait_ready(20)
    await until(lambda: "ready" in runtime.logs("app").read_text())
    await runtime.stop()
    assert (tmp_path / "ended").read_text().split() == ["app", "keeper"]


async def test_daemonised_children_belong_to_their_service_and_end_with_it(make: Make, tmp_path: Path) -> None:
    """A double fork into another session, whose parent is gone before anybody looked."""
    told: list[tuple[str, ProcessId]] = []
    runtime = make(
        service("(setsid sh -c 'sleep 300 & echo started' &) ; exec sleep 60"),
        on_process=lambda name, process: told.append((name, process)),
    )
    await runtime.start()
    await until(lambda: "started" in runtime.logs("app").read_text())
    await until(lambda: len(runtime.processes("app")) == 2)
    commands = {procfs.command(process.pid) for process in runtime.processes("app")}
    assert commands == {"sleep 300", "sleep 60"}
    assert {process for _, process in told} >= set(runtime.processes("app"))
    await runtime.restart("app")
    assert not any(procfs.alive(process) for _, process in told[:2])


async def test_environment_names_providers_and_own_ports_as_they_are_here(make: Make, tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(
        "import json, os, sys, time\nprint(json.dumps([dict(os.environ), sys.argv[1:]]), flush=True)\ntime.sleep(60)\n"
    )
    services = json.loads(service(tmp_path / "show.py", expose=["8000"]))
    services["services"]["app"] |= {
        "command": ["python", "show.py", "--bind", "0.0.0.0:8000", "--data", "/data/x"],
        "volumes": ["stuff:/data"],
        "environment": {"PORT": "8000", "BIND": "0.0.0.0", "DB_URL": "redis://db:6379/1"}
        | {"DB_HOST": "db", "DB_PORT": "6379"},
        "healthcheck": {"test": ["CMD", "true"], "interval": "1s"},
    }  # fmt: skip
    services["services"]["db"] = {"image": "redis:7", "expose": ["6379"]}
    services["volumes"] = {"stuff": {}}
    os.environ["SECRET_OF_THE_SHELL"] = "1"
    runtime = make(json.dumps(services))
    await runtime.start()
    del os.environ["SECRET_OF_THE_SHELL"]
    await until(lambda: runtime.logs("app").read_text().strip())
    environment, arguments = json.loads(runtime.logs("app").read_text())
    own, db = runtime.endpoint("app"), runtime.endpoint("db")
    assert environment["PORT"] == str(own.port)
    assert environment["BIND"] == "127.0.0.1"
    assert environment["DB_URL"] == f"redis://{db}/1"
    assert (environment["DB_HOST"], environment["DB_PORT"]) == ("127.0.0.1", str(db.port))
    assert arguments == ["--bind", str(own), "--data", str(tmp_path / "state/volumes/stuff/x")]
    assert "SECRET_OF_THE_SHELL" not in environment


async def test_a_published_port_is_honoured_and_one_in_use_is_refused(make: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        runtime = make(service("exit 0", ports=[f"{port}:8000"]))
        with pytest.raises(InputError, match=f"port {port} is in use by process {os.getpid()}"):
            await runtime.start()
    runtime = make(COMPOSE.replace('expose: ["8000", "8001"]', f'ports: ["{port}:8000"]'))
    await runtime.start(["web"])
    await runtime.wait_ready(20)
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).status == 200


async def test_python_services_are_forked_and_carry_their_own_exit_code(make: Make, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("import sys, atexit\natexit.register(print, 'bye')\nsys.exit(5)\n")
    runtime = make(json.dumps({"services": {"app": {"build": ".", "command": ["python", "job.py"], "expose": ["80"]}}}))
    await runtime.start()
    with pytest.raises(NotReady, match="exit code 5\n  bye"):
        await runtime.wait_ready(20)
    assert runtime.fork_server


async def test_a_forked_service_outlives_its_fork_server_and_is_still_known(make: Make) -> None:
    runtime = make(COMPOSE)
    await runtime.start(["api"])
    await runtime.wait_ready(20)
    assert runtime.fork_server
    os.kill(runtime.fork_server, signal.SIGKILL)
    before = runtime.processes("api")
    await runtime.restart("api")
    assert set(runtime.processes("api")).isdisjoint(before)
    assert runtime.processes("api")
    assert not any(map(procfs.alive, before))


async def test_a_health_check_that_is_python_is_forked_too(make: Make, tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(
        "import os, pathlib, sys\nprint('asked')\nsys.exit(0 if pathlib.Path('well').exists() else 1)\n"
    )
    check = {"test": ["CMD", "python", "check.py"], "interval": "100ms", "timeout": "5s", "retries": 2}
    runtime = make(json.dumps({"services": {"app": {"build": ".", "command": ["sleep", "60"], "healthcheck": check}}}))
    await runtime.start()
    with pytest.raises(NotReady, match=r"app: not ready after 0.5s"):
        await runtime.wait_ready(0.5)
    (tmp_path / "well").touch()
    await runtime.wait_ready(20)
    (tmp_path / "well").unlink()
    async with asyncio.timeout(10):
        while await state(runtime, "app") is not State.UNHEALTHY:
            await asyncio.sleep(0.05)
    (tmp_path / "well").touch()
    async with asyncio.timeout(10):
        while await state(runtime, "app") is not State.HEALTHY:
            await asyncio.sleep(0.05)


async def test_everything_wrong_with_a_machine_is_told_at_once(make: Make) -> None:
    runtime = make(
        "services: {a: {image: 'apache/kafka:4'}, b: {image: 'httpd:2'},"
        " c: {build: ., command: [no-such-program]}, d: {build: .}}"
    )
    with pytest.raises(InputError) as raised:
        await runtime.start()
    messages = [problem.message for problem in raised.value.problems]
    assert len(messages) == 4
    assert all(problem.line == 1 and problem.mend for problem in raised.value.problems)
    assert not runtime.members()


POSTGRES = """
services:
  db:
    image: pgvector/pgvector:pg18
    environment: {POSTGRES_USER: owner, POSTGRES_PASSWORD: secret, POSTGRES_DB: shop}
    volumes: ["./initdb:/docker-entrypoint-initdb.d:ro", "data:/var/lib/postgresql/data"]
    expose: ["5432"]
    healthcheck: {test: [CMD-SHELL, "pg_isready -U $$POSTGRES_USER || exit 1"], interval: 1s, timeout: 2s, retries: 5}
volumes: {data: {}}
"""


async def query(runtime: ProcessRuntime, sql: str, password: str = "secret") -> object:
    import psycopg

    endpoint = runtime.endpoint("db")
    connect = psycopg.AsyncConnection.connect(
        host=endpoint.host, port=endpoint.port, user="owner", password=password, dbname="shop"
    )
    async with await connect as connection:
        row = await (await connection.execute(sql)).fetchone()
        return row and row[0]


async def test_postgres_starts_as_its_image_does(make: Make, tmp_path: Path) -> None:
    scripts = tmp_path / "initdb"
    scripts.mkdir()
    (scripts / "10-table.sql").write_text(
        "CREATE EXTENSION vector; CREATE TABLE t (v vector(2)); INSERT INTO t VALUES ('[1,2]');"
    )
    (scripts / "20-role.sh").write_text(
        'psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB"'
        " -c \"INSERT INTO t VALUES ('[3,4]')\"\n"
    )
    runtime = make(POSTGRES)
    await runtime.start()
    await runtime.wait_ready(30)
    assert await query(runtime, "SELECT count(*) FROM t") == 2
    with pytest.raises(Exception, match="password"):
        await query(runtime, "SELECT 1", password="wrong")
    await runtime.restart("db")
    assert await query(runtime, "SELECT count(*) FROM t") == 2


async def test_postgres_starts_over_the_lock_of_a_killed_one(make: Make, tmp_path: Path) -> None:
    """Its pid belongs to another process of its user by now."""
    runtime = make(POSTGRES)
    await runtime.start()
    await runtime.wait_ready(30)
    await runtime.stop()
    lock = tmp_path / "state/volumes/data/gameday-pgdata/postmaster.pid"
    other = subprocess.Popen(["sleep", "60"], user="nobody" if os.geteuid() == 0 else None)
    lock.write_text(f"{other.pid}\n{lock.parent}\n1\n1\n\n127.0.0.1\n")
    runtime = make(POSTGRES)
    try:
        await runtime.start()
        await runtime.wait_ready(30)
    finally:
        other.kill()
        other.wait()


async def test_a_script_that_fails_is_told_and_tried_again(make: Make, tmp_path: Path) -> None:
    scripts = tmp_path / "initdb"
    scripts.mkdir()
    (scripts / "init.sql").write_text("CREATE TABLE t (i int); SELEKT 1;")
    runtime = make(POSTGRES)
    await runtime.start()
    with pytest.raises(GamedayError, match='syntax error at or near "SELEKT"'):
        await runtime.wait_ready(30)
    await runtime.stop()
    (scripts / "init.sql").write_text("CREATE TABLE t (i int);")
    runtime = make(POSTGRES)
    await runtime.start()
    await runtime.wait_ready(30)
    assert await query(runtime, "SELECT count(*) FROM t") == 0


async def test_rabbitmq_and_its_epmd_end_with_their_service(make: Make) -> None:
    runtime = make(
        "services: {broker: {image: 'rabbitmq:3-alpine', expose: ['5672'],"
        " healthcheck: {test: [CMD, rabbitmq-diagnostics, -q, ping], interval: 1s, timeout: 2s}}}"
    )
    await runtime.start()
    await runtime.wait_ready(60)
    names = {Path(procfs.command(process.pid).split()[0]).name for process in runtime.processes("broker")}
    assert {"beam.smp", "epmd"} <= names
    await runtime.stop()
    assert not runtime.members()


async def test_redis_keeps_what_its_volume_holds(make: Make) -> None:
    runtime = make(
        "services: {store: {image: 'redis:7-alpine', command: [redis-server, --appendonly, 'yes'],"
        " volumes: ['s:/data'],"
        " healthcheck: {test: [CMD, redis-cli, ping], interval: 1s}}}\nvolumes: {s: {}}"
    )
    await runtime.start()
    await runtime.wait_ready(20)
    from redis import Redis

    endpoint = runtime.endpoint("store")
    with Redis(endpoint.host, endpoint.port) as client:
        client.set("key", "kept")
    await runtime.restart("store")
    with Redis(endpoint.host, endpoint.port) as client:
        assert client.get("key") == b"kept"


async def test_nothing_is_left_when_a_start_is_interrupted(make: Make) -> None:
    runtime = make(COMPOSE)
    starting = asyncio.create_task(runtime.start(["web", "api"]))
    await until(runtime.members)
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    await runtime.stop()
    assert not runtime.members()
