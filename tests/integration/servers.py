"""Real servers on free ports of the loopback, and how to wait for them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import psutil
import psycopg

from gameday.runtime import Endpoint
from gameday.runtime.images import Place, rabbitmq

ROOT = Path(__file__).parents[2]


def package(name: str) -> Path:
    """Where a package lies. It is not imported: that has side effects in those that ship servers."""
    spec = importlib.util.find_spec(name)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


# A deadline only says how long a test that fails may take. A machine that is busy must not make one fail.
PATIENCE = 4.0


def eventually(condition: Callable[[], bool], within: float, message: str) -> None:
    """Waits until `condition` holds: `within` seconds on an idle machine, and `PATIENCE` times that on a busy one."""
    deadline = time.monotonic() + within * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


async def eventually_async(condition: Callable[[], bool], within: float, message: str) -> None:
    deadline = time.monotonic() + within * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, message
        await asyncio.sleep(0.01)


@dataclass
class Server:
    """A process that listens on `port`."""

    command: list[str]
    port: int
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **self.environment},
                stdout=log,
                stderr=log,
                user=self.user,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """To the whole tree: PostgreSQL's backends are in process groups of their own."""
        top = psutil.Process(self.pid)
        tree = top.children(recursive=True)
        top.send_signal(number)
        for process in tree:
            with suppress(psutil.NoSuchProcess):  # some live only for a moment
                process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, within: float = 15) -> int:
        """The exit code."""
        if self.process is None:
            return 0
        with suppress(psutil.NoSuchProcess):
            self.send(signal.SIGCONT)
        self.process.send_signal(number)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@dataclass
class Postgres(Server):
    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> None:
        super().start()
        eventually(self.answers, 15, "PostgreSQL does not answer")


@dataclass
class Rabbit(Server):
    """A broker of its own, as the process runtime runs one. Its data lies beside its log and outlives it."""

    def __post_init__(self) -> None:
        home = self.log.parent
        place = Place(
            service=Mock(),
            endpoints={rabbitmq.PORTS[0]: Endpoint("127.0.0.1", self.port)},
            environment={},
            inherited={"PATH": os.environ["PATH"]},
            arguments=(),
            home=home,
            path=lambda path: home / path.lstrip("/"),
        )
        launch = asyncio.run(rabbitmq.prepare(place))
        self.command = list(launch.argv)
        self.environment = dict(launch.environment)

    @property
    def url(self) -> str:
        return f"amqp://127.0.0.1:{self.port}/"

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"AMQP\0\0\x09\x01")
                connection.settimeout(1)
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def start(self, within: float = 60) -> None:
        super().start()
        eventually(self.answers, within, f"RabbitMQ does not answer: {self.log}")

    def kill(self) -> None:
        """As a power cut would: nothing is written any more."""
        assert self.process
        self.send(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """The broker, and the epmd that it leaves behind."""
        self.stop()
        subprocess.run(["epmd", "-port", self.environment["ERL_EPMD_PORT"], "-kill"], env=self.environment)


@dataclass
class Service(Server):
    """One of ours, spoken to by `http`."""

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)

    def ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def start(self, within: float = 20) -> None:
        super().start()
        eventually(self.ready, within, f"not ready: {self.log}")

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of one series; None where there is no such series."""
        from prometheus_client.parser import text_string_to_metric_families

        for family in text_string_to_metric_families(self.http.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None

    def told(self, words: str) -> list[dict[str, Any]]:
        """The lines of the log with `words` in them."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if words in line]

    def told_of_requests(self, words: str, count: int = 1) -> list[dict[str, Any]]:
        """Those of requests, once there are `count`: each is written after the answer."""

        def lines() -> list[dict[str, Any]]:
            return [line for line in self.told(words) if line["event"] == "request"]

        eventually(lambda: len(lines()) >= count, 5, f"{count} requests of {words}: {self.log}")
        return lines()


ServiceFactory = Callable[..., Service]
