"""A runtime in memory: nothing is started, everything answers at once.

A supported mode for tests: it passes the conformance suite of the real runtimes.
Beyond the Protocol it has handles to make things happen: `crash`, `adopt`, and
`FakeWire.attempt`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from gameday.catalogue import Catalogue, Edge
from gameday.runtime import Counters, Endpoint, NotReady, ProcessId, ServiceStatus, State, Toxic
from gameday.runtime.order import closure

# Above the largest pid that Linux ever gives, so that a signal sent to a fake
# process finds nobody.
_FIRST_PID = 2**22 + 1
_FIRST_PORT = 20_001
_BOOT = "fake-boot"


class FakeWire:
    """A wire without a socket. `attempt` plays a consumer's request."""

    def __init__(self, edge: Edge, listen: Endpoint, upstreams: Sequence[Endpoint], clock: Callable[[], float]) -> None:
        self.edge = edge
        self.listen = listen
        self.upstreams = upstreams
        self._clock = clock
        self._counters = Counters()
        self._shares = [Counters() for _ in upstreams]
        self._toxics: dict[str, tuple[Toxic, float]] = {}

    async def counters(self, upstream: Endpoint | None = None) -> Counters:
        return self._counters if upstream is None else self._shares[self.upstreams.index(upstream)]

    async def toxics(self) -> Sequence[Toxic]:
        now = self._clock()
        self._toxics = {name: entry for name, entry in self._toxics.items() if entry[1] > now}
        return [toxic for toxic, _ in self._toxics.values()]

    async def add(self, toxic: Toxic) -> None:
        self._toxics[toxic.name] = (toxic, self._clock() + toxic.ttl)

    async def remove(self, name: str) -> None:
        self._toxics.pop(name, None)

    async def attempt(self, *, reachable: bool = True, size: int = 100, passed_over: Sequence[Endpoint] = ()) -> None:
        """A consumer connects and asks; `reachable` says whether the provider is there.

        `passed_over` are replicas that refused before another took it.
        """
        for upstream in passed_over:
            index = self.upstreams.index(upstream)
            self._shares[index] = replace(self._shares[index], refused=self._shares[index].refused + 1)
        toxics = await self.toxics()
        before = self._counters
        answered = reachable and not any(toxic.kind in ("timeout", "reset_peer", "down") for toxic in toxics)
        self._counters = replace(
            before,
            connections=before.connections + 1,
            requests=before.requests + 1,
            attempts=before.attempts + 1,
            refused=before.refused + (not reachable),
            met=before.met + bool(toxics),
            unanswered=before.unanswered + (not answered),
            bytes_up=before.bytes_up + size,
            bytes_down=before.bytes_down + (size if answered else 0),
        )


class FakeRuntime:
    """`directory` holds the log files; `wired` gives every edge a `FakeWire`."""

    name = "fake"

    def __init__(
        self,
        catalogue: Catalogue,
        directory: Path,
        *,
        wired: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalogue = catalogue
        self._directory = directory
        self._pids = count(_FIRST_PID)
        self._status: dict[str, ServiceStatus] = {}
        self._processes: dict[str, list[ProcessId]] = {}
        ports = count(_FIRST_PORT)
        self._replicas = self._names(catalogue.services)
        self._endpoints = {
            name: {port: Endpoint("127.0.0.1", next(ports)) for port in service.ports}
            for service in catalogue.services.values()
            for name in dict.fromkeys((service.name, *(each.replica for each in service.each())))
        }
        self._wires = {
            edge: FakeWire(edge, Endpoint("127.0.0.1", next(ports)), self._upstreams(edge), clock)
            for edge in catalogue.edges
            if wired and self._endpoints[edge.provider]
        }

    async def start(self, services: Collection[str] | None = None) -> None:
        for name in self._names(closure(self.catalogue, services)):
            if self._status.get(name, ServiceStatus(name, State.PENDING)).state is not State.HEALTHY:
                self._launch(name)

    async def wait_ready(self, timeout: float) -> None:  # noqa: ARG002 - nothing takes time here
        await asyncio.sleep(0)
        for status in self._status.values():
            if status.state is not State.HEALTHY:
                raise NotReady(f"{status.name} is {status.state}: {status.detail}")

    async def stop(self) -> None:
        for name in self._status:
            self._status[name] = self._dead(name, State.STOPPED)

    async def restart(self, service: str) -> None:
        for name in self._names([service]):
            self._launch(name)

    async def list(self, *, memory: bool = False) -> Sequence[ServiceStatus]:
        told = (self._status.get(name, ServiceStatus(name, State.PENDING)) for name in self._replicas)
        return [status if memory else replace(status, pss_mb=None) for status in told]

    def endpoint(self, service: str, port: int | None = None) -> Endpoint:
        ports = self._endpoints[service]
        return next(iter(ports.values())) if port is None else ports[port]

    def processes(self, service: str) -> Sequence[ProcessId]:
        return tuple(process for name in self._names([service]) for process in self._processes.get(name, ()))

    def wire(self, edge: Edge) -> FakeWire | None:
        return self._wires.get(edge)

    def logs(self, service: str) -> Path:
        self.catalogue.replicas(service)
        return self._directory / f"{service}.log"

    def crash(self, service: str, exit_code: int = -9) -> None:
        """The service dies by itself, as after `kill -9`."""
        for name in self._names([service]):
            self._status[name] = self._dead(name, State.EXITED, exit_code)

    def adopt(self, service: str, processes: Sequence[ProcessId]) -> None:
        """From now on `processes(service)` gives these: a test's real processes."""
        self._processes[service] = list(processes)

    def _launch(self, name: str) -> None:
        process = ProcessId(next(self._pids), 1, _BOOT)
        self._processes[name] = [process]
        self.logs(name).parent.mkdir(parents=True, exist_ok=True)
        with self.logs(name).open("a") as log:
            log.write(f"{name} started\n")
        self._status[name] = ServiceStatus(name, State.HEALTHY, self._endpoints[name], pid=process.pid, pss_mb=1.0)

    def _dead(self, name: str, state: State, exit_code: int | None = None) -> ServiceStatus:
        self._processes[name] = []
        return ServiceStatus(name, state, self._endpoints[name], exit_code=exit_code)

    def _names(self, services: Iterable[str]) -> Sequence[str]:
        """Of every replica. Raises KeyError for a name that the catalogue does not hold."""
        return [each.replica for name in services for each in self.catalogue.replicas(name)]

    def _upstreams(self, edge: Edge) -> Sequence[Endpoint]:
        return [self.endpoint(name, edge.port) for name in self._names([edge.provider])]
