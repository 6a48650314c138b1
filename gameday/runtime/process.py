"""The embedded runtime: every service is a process on loopback. Needs no Docker.

Compose's `restart:` policies are not honoured: a service that a fault killed stays
dead until the fault is undone. Where a service has several replicas, each has ports
of its own, and the ports of the service carry connections to them in turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from gameday.catalogue import Catalogue, Edge, Service
from gameday.errors import GamedayError, InputError
from gameday.runtime import Endpoint, NotReady, ProcessId, ServiceStatus, State, Wire, forks, procfs
from gameday.runtime.layout import Layout, command, runs_image
from gameday.runtime.order import closure
from gameday.runtime.preflight import problems
from gameday.runtime.tracker import MARKER, Tracker
from gameday.runtime.unit import Host, Unit
from gameday.state import State as StateDirectory

# Reading the memory of a whole system takes the kernel tens of milliseconds.
_MEMORY_SECONDS = 2.0


class Proxy(Protocol):
    """Where wires come from: `gameday.proxy.ProxyHost`."""

    async def open(self, edge: Edge, *upstreams: Endpoint) -> Wire: ...

    async def balance(self, listen: Endpoint, *upstreams: Endpoint) -> None: ...


class ProcessRuntime:
    """One system. `system` names it in its processes' markers.

    Every edge runs through `proxy` where the system is `wired`, and what leads to
    several replicas in any case: it can be None only where there is neither.
    `addresses` are further `host:port` names for configuration files. `on_process`
    is told of each process that is started or that daemonised itself.
    """

    name = "process"

    def __init__(
        self,
        catalogue: Catalogue,
        state: StateDirectory,
        *,
        system: str,
        proxy: Proxy | None = None,
        wired: bool = True,
        addresses: Mapping[str, str] | None = None,
        on_process: Callable[[str, ProcessId], None] = lambda *_: None,
    ) -> None:
        self.catalogue = catalogue
        self._state = state
        self._system = system
        self._proxy = proxy
        self._wired = wired and proxy is not None
        self._addresses = addresses or {}
        self._on_process = on_process
        self._host: Host | None = None
        self._units: dict[str, Unit] = {}
        self._wires: dict[Edge, Wire] = {}
        self._memory: tuple[float, dict[str, int | None], dict[str, float]] = (float("-inf"), {}, {})

    async def start(self, services: Collection[str] | None = None) -> None:
        names = closure(self.catalogue, services)
        host = self._host or await self._prepare(names)
        replicas = [each for name in names for each in self.catalogue.replicas(name)]
        for each in replicas:
            self._units.setdefault(each.replica, Unit(each, host, self.logs(each.replica)))
        for each in replicas:
            self._units[each.replica].begin(list(self._awaited(each)))
        await asyncio.gather(*(asyncio.shield(self._units[each.replica].launched) for each in replicas))

    async def wait_ready(self, timeout: float) -> None:
        units = list(self._units.values())
        waiting = asyncio.gather(*(asyncio.shield(unit.ready) for unit in units))
        try:
            async with asyncio.timeout(timeout):
                await waiting
        except TimeoutError:
            late = [unit.report(f"not ready after {timeout:g}s") for unit in units if not unit.ready.done()]
            raise NotReady("\n".join(late)) from None
        failed = [unit for unit in units if unit.state is not State.HEALTHY and not unit.completed]
        if failed:
            raise NotReady("\n".join(unit.report(f"{unit.state}: {unit.detail}") for unit in failed))

    async def stop(self) -> None:
        """Consumers before their providers, as compose does, and the keeper of traces after who sends it some.

        Raises what could not be ended, at the end.
        """
        gone = {name: asyncio.Event() for name in self._units}
        results = await asyncio.gather(*(self._stop(name, gone) for name in self._units), return_exceptions=True)
        if self._host is not None:
            self._host.fork_server.stop()
        errors = [result for result in results if isinstance(result, BaseException)]
        if errors:
            raise errors[0]

    async def restart(self, service: str) -> None:
        units = self._of(service)
        if not units:
            raise GamedayError(f"{service} was not started")
        for unit in units:
            await unit.restart()

    async def list(self, *, memory: bool = False) -> Sequence[ServiceStatus]:
        measured = await self._measured() if memory else {}
        replicas = [each.replica for name in self.catalogue.services for each in self.catalogue.replicas(name)]
        return [self._status(name, measured.get(name)) for name in replicas]

    def endpoint(self, service: str, port: int | None = None) -> Endpoint:
        self.catalogue.replicas(service)
        ports = self.endpoints()[service]
        return next(iter(ports.values())) if port is None else ports[port]

    def endpoints(self) -> Mapping[str, Mapping[int, Endpoint]]:
        """Container port -> where it is, for every service that was started and each of its replicas."""
        return self._host.layout.endpoints if self._host else {}

    def processes(self, service: str) -> Sequence[ProcessId]:
        names = {each.replica for each in self.catalogue.replicas(service)}
        return [process for process, owner in self.members().items() if owner in names]

    def members(self) -> Mapping[ProcessId, str]:
        """Every living process with its service or replica. Finds and buries orphans too: to be called now and then."""
        return self._host.tracker.scan() if self._host else {}

    def wire(self, edge: Edge) -> Wire | None:
        return self._wires.get(edge)

    def wires(self) -> Sequence[Wire]:
        return tuple(self._wires.values())

    def logs(self, service: str) -> Path:
        self.catalogue.replicas(service)
        return self._state.logs / f"{service}.log"

    @property
    def fork_server(self) -> int | None:
        """Its pid; None where no service is forked."""
        return self._host.fork_server.pid if self._host else None

    async def _prepare(self, names: Collection[str]) -> Host:
        """Everything that can be wrong is found here, before anything is started."""
        found = problems(self.catalogue, names)
        if found:
            raise InputError(found)
        self._state.logs.mkdir(parents=True, exist_ok=True)
        layout = Layout(self.catalogue, names, self._state, self._addresses)
        inherited = forks.environment()
        self._host = Host(
            system=self._system,
            layout=layout,
            tracker=Tracker(self._system, self._on_process),
            fork_server=self._fork_server(inherited),
            inherited=inherited,
            provider=self._provider,
            on_process=self._on_process,
        )
        if any(_is_python(self.catalogue.services[name]) for name in names):
            self._host.fork_server.start()
        await self._balance(names)
        await self._open_wires(names)
        return self._host

    def _fork_server(self, inherited: Mapping[str, str]) -> forks.ForkServer:
        marked = {**inherited, MARKER: f"{self._system}/forkserver"}
        return forks.ForkServer(
            self.catalogue.preload, self.catalogue.directory, marked, self._state.logs / "forkserver.log"
        )

    async def _balance(self, names: Collection[str]) -> None:
        for name in names:
            replicas = [each.replica for each in self.catalogue.replicas(name)]
            for port, listen in self.endpoints()[name].items() if len(replicas) > 1 else ():
                if self._proxy is None:
                    raise GamedayError(f"{name} has {len(replicas)} replicas, and there is no proxy before them")
                await self._proxy.balance(listen, *(self.endpoint(replica, port) for replica in replicas))

    async def _open_wires(self, names: Collection[str]) -> None:
        if self._proxy is None or not self._wired:
            return
        for edge in self.catalogue.edges:
            if edge.env and edge.consumer in names and edge.provider in names:
                replicas = self.catalogue.replicas(edge.provider)
                upstreams = [self.endpoint(each.replica, edge.port) for each in replicas]
                if upstreams:
                    self._wires[edge] = await self._proxy.open(edge, *upstreams)

    def _provider(self, consumer: str, provider: str, port: int | None) -> Endpoint | None:
        """Where `consumer` finds `provider`: at the proxy of the edge, or itself; None where it was not started."""
        for edge, wire in self._wires.items():
            if (edge.consumer, edge.provider) == (consumer, provider) and port in (edge.port, None):
                return wire.listen
        ports = self.endpoints().get(provider)
        return (ports.get(port) if port is not None else next(iter(ports.values()), None)) if ports else None

    def _awaited(self, service: Service) -> Iterator[asyncio.Future[None]]:
        for name, condition in service.depends_on.items():
            for unit in self._of(name) if name in self.catalogue.services else ():
                match condition:
                    case "service_started":
                        yield unit.launched
                    case "service_completed_successfully":
                        yield unit.over
                    case _:
                        yield unit.ready

    async def _stop(self, name: str, gone: Mapping[str, asyncio.Event]) -> None:
        for other, unit in self._units.items():
            if self._ends_after(self._units[name].service, unit.service):
                await gone[other].wait()
        try:
            await self._units[name].stop()
        finally:
            gone[name].set()

    def _ends_after(self, service: Service, other: Service) -> bool:
        if service.name in other.depends_on:
            return True
        # Nothing waits for the end of what depends on nothing: so no two can wait for each other.
        keeps_traces = service.name == self.catalogue.telemetry.traces and not service.depends_on
        return keeps_traces and any(
            (e.consumer, e.provider) == (other.name, service.name) for e in self.catalogue.edges
        )

    def _status(self, name: str, pss_mb: float | None) -> ServiceStatus:
        endpoints = self.endpoints().get(name, {})
        unit = self._units.get(name)
        if unit is None:
            return ServiceStatus(name, State.PENDING, endpoints)
        return ServiceStatus(name, unit.state, endpoints, unit.pid, pss_mb, unit.exit_code, unit.detail)

    async def _measured(self) -> dict[str, float]:
        """Service -> MiB of its tree, at most two seconds old and never of other processes than these."""
        running = {name: unit.pid for name, unit in self._units.items()}
        taken, measured, memory = self._memory
        if time.monotonic() - taken > _MEMORY_SECONDS or measured != running:
            pids = defaultdict(list)
            for process, owner in self.members().items():
                pids[owner].append(process.pid)
            memory = await asyncio.to_thread(lambda: {owner: procfs.pss_mb(each) for owner, each in pids.items()})
            self._memory = (time.monotonic(), running, memory)
        return memory

    def _of(self, service: str) -> Sequence[Unit]:
        """Those that were started. Raises KeyError for a name that the catalogue does not hold."""
        replicas = self.catalogue.replicas(service)
        return [self._units[each.replica] for each in replicas if each.replica in self._units]


def _is_python(service: Service) -> bool:
    if runs_image(service):
        return False
    argv = command(service)
    return bool(argv) and forks.order(argv, {}, Path("/")) is not None
