"""An instance of a provider of its own for a verification.

Beside the running one, on the same real stores, because provider states need a
way in that the running system must not have, and because what a verifier asks
is not users' traffic: it would count in metrics, trip breakers and fill caches.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal

from gameday.catalogue import Catalogue, Service, edges
from gameday.errors import GamedayError
from gameday.runtime import Endpoint, addresses, child, forks, health, layout, procfs
from gameday.runtime.child import Child

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.1
# Others start at the same time: a health check may take longer than in a system that runs.
HEALTH_SECONDS = 10.0
END_SECONDS = 10.0
Endpoints = Mapping[str, Mapping[int, Endpoint]]


@dataclass(frozen=True)
class Stage:
    """Where instances are started, from whichever thread. Each writes its log in `scratch`."""

    catalogue: Catalogue
    running: Endpoints
    scratch: Path
    _portal: BlockingPortal
    _server: forks.ForkServer

    def log(self, service: Service) -> Path:
        return self.scratch / f"{service.name}.log"

    def instance(self, service: Service) -> contextlib.AbstractContextManager[Mapping[int, Endpoint]]:
        return self._portal.wrap_async_context_manager(
            instance(self.catalogue, service, self.running, self.log(service), self._server)
        )


@contextlib.contextmanager
def stage(catalogue: Catalogue, running: Endpoints) -> Iterator[Stage]:
    """`running` says where the services are that a provider needs."""
    with tempfile.TemporaryDirectory(prefix="gameday-providers-") as scratch, start_blocking_portal() as portal:
        forking = _fork_server(catalogue, Path(scratch) / "forkserver.log")
        with portal.wrap_async_context_manager(forking) as server:
            yield Stage(catalogue, running, Path(scratch), portal, server)


@contextlib.asynccontextmanager
async def _fork_server(catalogue: Catalogue, log: Path) -> AsyncIterator[forks.ForkServer]:
    """What the instances that are Python start from: most of a start is imports."""
    server = forks.ForkServer(catalogue.preload, catalogue.directory, forks.environment(), log)
    try:
        yield server
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def instance(
    catalogue: Catalogue,
    service: Service,
    running: Endpoints,
    log: Path,
    server: forks.ForkServer,
    *,
    ready_timeout: float = 60.0,
) -> AsyncIterator[Mapping[int, Endpoint]]:
    """Where it listens, by its container ports, once it does.

    Raises GamedayError with its last words where it does not start.
    """
    own = {port: Endpoint(LOOPBACK, _free_port()) for port in layout.container_ports(catalogue, service)}
    if not own:
        raise GamedayError(f"{service.name} exposes no port: add `expose` to it")
    checker = _Checker(_environment(catalogue, service, running, own), catalogue.directory, server)
    with log.open("wb") as output:
        process = await server.spawn(
            _command(service, own), environment=checker.environment, directory=catalogue.directory, output=output
        )
    try:
        endpoint = next(iter(own.values()))
        probe = _probe(service, own, checker)
        why = await _ready(process, probe, endpoint, time.monotonic() + ready_timeout)
        if why is not None:
            raise GamedayError(f"{service.name} did not become ready: {why}\n{tail(log)}")
        yield own
    finally:
        await _end(process)


@dataclass(frozen=True)
class _Checker:
    """Runs health checks in one environment: forked where they are Python, as they are where they are not."""

    environment: Mapping[str, str]
    directory: Path
    server: forks.ForkServer

    async def check(self, argv: Sequence[str], limit: float) -> health.Answer:
        """Runs a health check's program for at most `limit` seconds."""
        order = forks.order(argv, self.environment, self.directory)
        try:
            if order is not None:
                code, output = await asyncio.wait_for(self.server.run(order), limit), ""
            else:
                code, output = await child.run(
                    argv, environment=self.environment, directory=self.directory, timeout=limit
                )
        except (TimeoutError, subprocess.TimeoutExpired):
            return f"the health check took more than {limit:g} s"
        return None if code == 0 else output.strip() or f"the health check ended with exit code {code}"


def _environment(
    catalogue: Catalogue, service: Service, running: Endpoints, own: Mapping[int, Endpoint]
) -> dict[str, str]:
    def address(name: str, port: int | None) -> tuple[str, int] | None:
        found = running.get(name, {}).get(port) if port is not None else None
        return (found.host, found.port) if found else None

    named = edges.rewritten(catalogue, service.name, address)
    untouched = {key: value for key, value in named.items() if value == service.environment[key]}
    states = service.provider_states.environment if service.provider_states else {}
    return forks.environment() | named | addresses.own(untouched, own) | dict(states)


def _command(service: Service, own: Mapping[int, Endpoint]) -> list[str]:
    argv = addresses.arguments(layout.command(service), own)
    if not argv:
        raise GamedayError(f"{service.name} has no command: add x-gameday.command to it")
    return [sys.executable, *argv[1:]] if argv[0] in ("python", "python3") else argv


async def _ready(process: Child, probe: health.Probe, endpoint: Endpoint, until: float) -> health.Answer:
    """None once the health check passes, else why it does not."""
    answer: health.Answer = "its port is not open"
    while not process.ended.done() and time.monotonic() < until:
        if _listens(endpoint):
            answer = await probe()
        if answer is None:
            return None
        await asyncio.sleep(POLL_SECONDS)
    return f"it ended with exit code {process.ended.result()}" if process.ended.done() else answer


def _probe(service: Service, own: Mapping[int, Endpoint], checker: _Checker) -> health.Probe:
    if service.health is None:
        return _nothing_to_ask
    test = addresses.health(service.health.test, service.name, own)
    limit = max(service.health.timeout, HEALTH_SECONDS)

    async def run(argv: Sequence[str]) -> health.Answer:
        return await checker.check(argv, limit)

    return health.probe(test, own, checker.environment, run)


async def _nothing_to_ask() -> health.Answer:
    return None


def _listens(endpoint: Endpoint) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((endpoint.host, endpoint.port)) == 0


async def _end(process: Child) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        procfs.send(process.process, number)
        if (await asyncio.wait([process.ended], timeout=END_SECONDS))[0]:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
