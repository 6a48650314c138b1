"""The daemon that owns a running system: its processes, proxies, leases and notifications.

`python -m gameday.supervisor STATE SYSTEM PIPE`, started by the guardian. The plan
(`gameday.plan.Plan`, pickled) comes in on stdin. Commands speak to it over the
control socket, one JSON object a line each way:

    {"op": "status"}  ->  {"ok": true, "result": {...}}
                      or  {"ok": false, "kind": "input" | "error", "error": "...", "problems": [...]}
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gameday.control import encode_problem
from gameday.errors import GamedayError, InputError, Problem
from gameday.guardian import FAREWELL
from gameday.journal import Journal
from gameday.leases import OPEN, LeaseKeeper, Patience
from gameday.plan import Plan
from gameday.proxy import ProxyHost
from gameday.runtime import Endpoint, ProcessId, ServiceStatus, Wire, child, procfs, tracker
from gameday.runtime.images.registry import find
from gameday.runtime.layout import runs_image
from gameday.runtime.observe import Seen, observe
from gameday.runtime.process import ProcessRuntime
from gameday.state import State as StateDirectory
from gameday.webhook import Webhook

# Environment variable: how long an undo may take before its lease counts as leaked.
UNDO_SECONDS = "GAMEDAY_UNDO_SECONDS"
_START_SECONDS = 180.0
# The kernel takes some 40 ms to list every socket of the machine.
_OBSERVE_SECONDS = 2.0
_LARGEST_LINE = 1 << 20


class Supervisor:
    def __init__(self, plan: Plan, state: StateDirectory, system: str) -> None:
        self.plan = plan
        self.state = state
        self.system = system
        self.over = asyncio.Event()
        self._processes = Journal(state.processes)
        self._alerts = Journal(state.alerts)
        self._leases = Journal(state.leases)
        self._webhook = Webhook(self._alerts)
        replicated = any(service.replicas > 1 for service in plan.catalogue.services.values())
        self._proxy = ProxyHost() if plan.wired or replicated else None
        self._runtime: ProcessRuntime | None = None
        self._keeper: LeaseKeeper | None = None
        self._starting: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._seen: set[Seen] = set()
        self._began = time.monotonic()
        self._ending = asyncio.Lock()
        self._ops: Mapping[str, Callable[..., Awaitable[Any]]] = {
            "status": self.status,
            "wait_ready": self.wait_ready,
            "endpoints": self.endpoints,
            "restart": self.restart,
            "stop": self.stop,
            "inject": self.inject,
            "undo": self.undo,
            "leases": self.leases,
            "wires": self.wires,
            "connections": self.connections,
        }

    async def run(self) -> None:
        """From the control socket to the last process's end."""
        self._note("supervisor", child.name(os.getpid()))
        self._describe()
        control = await self._listen()
        self._starting = asyncio.create_task(self._start())
        observing = asyncio.create_task(self._observe())
        await self.over.wait()
        observing.cancel()
        await self._end()
        control.close()

    async def handle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request. Never raises."""
        arguments = {key: value for key, value in request.items() if key != "op"}
        try:
            operation = self._ops[request["op"]]
            return {"ok": True, "result": await operation(**arguments)}
        except InputError as error:
            return {
                "ok": False,
                "kind": "input",
                "error": str(error),
                "problems": list(map(encode_problem, error.problems)),
            }
        except GamedayError as error:
            return {"ok": False, "kind": "error", "error": str(error)}
        except Exception as error:  # noqa: BLE001 - told to whoever asked, and kept in the log
            traceback.print_exc()
            return {"ok": False, "kind": "error", "error": f"{type(error).__name__}: {error}"}

    async def status(self) -> dict[str, Any]:
        runtime = self._running()
        started = runtime.endpoints()
        # While starting, commands ask often and the processors have better things to do.
        listed = await runtime.list(memory=self._ready)
        services = [self._service(status) for status in listed if status.name in started]
        own_mb = await asyncio.to_thread(procfs.pss_mb, self._own()) if self._ready else 0.0
        return {
            "services": services,
            "faults": [lease for lease in self._held().leases() if lease["state"] in OPEN],
            "total_pss_mb": round(sum(service["pss_mb"] or 0.0 for service in services) + own_mb, 1),
            "gameday_pss_mb": round(own_mb, 1),
            "ready": self._ready,
            "failure": str(self._failure) if self._failure else None,
            "runtime": runtime.name,
            "time_scale": self.plan.time_scale,
            "stubs_for": list(self.plan.stubs),
            "scale": dict(self.plan.scale),
            "replicated": self._replicated(),
            "wired": self.plan.wired,
            "directory": str(self.plan.catalogue.directory),
            "files": [str(file) for file in self.plan.catalogue.files],
            "profiles": list(self.plan.profiles),
            "substitutions": await asyncio.to_thread(self._substitutions) if self._ready else {},
            "state": str(self.state.directory),
            "pid": os.getpid(),
            "seconds": round(time.monotonic() - self._began, 2),
        }

    async def wait_ready(self, timeout: float = _START_SECONDS) -> dict[str, Any]:
        """The status once everything is healthy."""
        if self._starting is not None:
            await asyncio.wait([self._starting], timeout=timeout)
        if self._failure is not None:
            raise self._failure
        await self._running().wait_ready(timeout)
        return await self.status()

    async def endpoints(self) -> dict[str, dict[str, str]]:
        return {
            name: {str(port): str(endpoint) for port, endpoint in ports.items()}
            for name, ports in self._running().endpoints().items()
        }

    async def restart(self, service: str) -> list[dict[str, Any]]:
        """The status of the service, or of each of its replicas."""
        runtime = self._running()
        if service not in runtime.endpoints():
            known = ", ".join(runtime.endpoints())
            raise InputError(Problem(f"no service {service} runs here", mend=f"one of: {known}", value=service))
        await runtime.restart(service)
        names = {each.replica for each in self.plan.catalogue.replicas(service)}
        return [self._service(status) for status in await runtime.list() if status.name in names]

    async def stop(self) -> dict[str, Any]:
        """Undoes every fault and ends everything, then answers, then leaves."""
        await self._end()
        asyncio.get_running_loop().call_soon(self.over.set)
        return {"stopped": list(self._running().endpoints())}

    async def inject(self, **arguments: Any) -> dict[str, Any]:
        return await self._held().inject(**arguments)

    async def undo(self, **arguments: Any) -> list[dict[str, Any]]:
        return await self._held().undo(**arguments)

    async def leases(self, run: str | None = None) -> list[dict[str, Any]]:
        return self._held().leases(run)

    async def wires(self, edge: str | None = None) -> list[dict[str, Any]]:
        """All of them, or those of `edge`, which may name a port."""
        edges = self.plan.catalogue.find(edge) if edge else ()
        return [await self._wire(wire) for wire in self._running().wires() if not edge or wire.edge in edges]

    async def connections(self) -> list[dict[str, Any]]:
        await self._look()
        return [{"from": seen.consumer, "to": seen.provider, "port": seen.port} for seen in sorted(self._seen)]

    async def _start(self) -> None:
        """Everything in order; a failure ends the system again, and is what commands are told."""
        try:
            addresses = {}
            webhook = self.plan.catalogue.telemetry.webhook
            if webhook:
                await self._webhook.start()
                addresses[webhook] = self._webhook.address
            if self._proxy is not None:
                await self._proxy.start()
            self._runtime = ProcessRuntime(
                self.plan.catalogue,
                self.state,
                system=self.system,
                proxy=self._proxy,
                wired=self.plan.wired,
                addresses=addresses,
                on_process=self._note,
            )
            patience = Patience(undo=float(os.environ.get(UNDO_SECONDS, Patience.undo)))
            self._keeper = LeaseKeeper(self._runtime, self.plan.catalogue, self._leases, patience)
            await self._runtime.start(self.plan.services)
            await self._runtime.wait_ready(_START_SECONDS)
            await self._keeper.inherit()
        except Exception as error:  # noqa: BLE001 - becomes the answer to whoever waits
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """The system is of no use any more: it is ended, and commands are told why."""
        if not isinstance(error, InputError | GamedayError):
            traceback.print_exception(error)
        print(f"failed: {error}", file=sys.stderr, flush=True)
        self._failure = error
        self._describe()
        self.over.set()

    async def _end(self) -> None:
        """Idempotent: the second caller waits for the first."""
        async with self._ending:
            if self._starting is not None and not self._starting.done():
                self._starting.cancel()
                with suppress(asyncio.CancelledError):
                    await self._starting
            for part in (self._keeper, self._runtime, self._webhook, self._proxy):
                if part is not None:
                    await self._surely(part.close if isinstance(part, LeaseKeeper) else part.stop)

    async def _surely(self, ending: Callable[[], Awaitable[None]]) -> None:
        """One thing that does not end keeps no other from ending; the guardian has the last word."""
        try:
            await ending()
        except Exception:  # noqa: BLE001 - logged; the rest is ended all the same
            traceback.print_exc()

    async def _observe(self) -> None:
        while True:
            await asyncio.sleep(_OBSERVE_SECONDS)
            proxy = self._proxy.pid if self._proxy is not None else None
            if proxy is not None and procfs.identify(proxy) is None:
                self._fail(GamedayError(f"the edge proxy (process {proxy}) ended: all that ran through it is cut"))
                return
            try:
                await self._look()
            except Exception:  # noqa: BLE001 - an observation missed is not a system lost
                traceback.print_exc()

    async def _look(self) -> None:
        if self._runtime is None:
            return
        catalogue = self.plan.catalogue
        listeners = {
            endpoint.port: (catalogue.service(name).name, port)
            for name, ports in self._runtime.endpoints().items()
            for port, endpoint in ports.items()
        }
        for wire in self._runtime.wires():
            listeners[wire.listen.port] = listeners[wire.upstreams[0].port]
        members = {process: catalogue.service(name).name for process, name in self._runtime.members().items()}
        self._seen |= await asyncio.to_thread(observe, members, listeners)

    async def _listen(self) -> asyncio.Server:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with self.state.socket_path() as path:
            Path(path).unlink(missing_ok=True)  # noqa: ASYNC240 - before anything else runs
            before = os.umask(0o177)
            connection.bind(path)
            os.umask(before)
        return await asyncio.start_unix_server(self._converse, sock=connection, limit=_LARGEST_LINE)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                answer = await self.handle(json.loads(line))
                writer.write(json.dumps(answer, default=str).encode() + b"\n")
                await writer.drain()
        writer.close()

    @property
    def _ready(self) -> bool:
        return self._starting is not None and self._starting.done() and self._failure is None

    def _running(self) -> ProcessRuntime:
        if self._runtime is None:
            raise self._failure or GamedayError("the system is only just starting")
        return self._runtime

    def _held(self) -> LeaseKeeper:
        if self._keeper is None:
            raise self._failure or GamedayError("the system is only just starting")
        return self._keeper

    def _service(self, status: ServiceStatus) -> dict[str, Any]:
        return {
            "name": status.name,
            "service": self.plan.catalogue.service(status.name).name,
            "state": status.state.value,
            "url": self._url(status.name, status.endpoints),
            "pid": status.pid,
            "pss_mb": round(status.pss_mb, 1) if status.pss_mb is not None else None,
            "exit_code": status.exit_code,
            "detail": status.detail,
        }

    def _own(self) -> list[int]:
        """Guardian, supervisor, fork server, proxy."""
        pids = (os.getppid(), os.getpid(), self._running().fork_server, self._proxy and self._proxy.pid)
        return [pid for pid in pids if pid]

    def _url(self, name: str, endpoints: Mapping[int, Endpoint]) -> str | None:
        """Of its first port, with the scheme where what it speaks is known to be HTTP."""
        if not endpoints:
            return None
        address = str(next(iter(endpoints.values())))
        service = self.plan.catalogue.service(name)
        server = find(service.image or "") if runs_image(service) else None
        return address if server and not server.HTTP else f"http://{address}"

    def _replicated(self) -> dict[str, str | None]:
        """Service with several replicas -> the address at which they are reached in turn."""
        started = self._running().endpoints()
        return {
            name: self._url(name, started[name])
            for name, service in self.plan.catalogue.services.items()
            if service.replicas > 1 and name in started
        }

    def _substitutions(self) -> dict[str, str]:
        found = {}
        for name in self._running().endpoints():
            service = self.plan.catalogue.service(name)
            server = find(service.image or "") if runs_image(service) else None
            if server is not None:
                found[service.name] = f"{server.version()} for {service.image}"
        return found

    async def _wire(self, wire: Wire) -> dict[str, Any]:
        return {
            "edge": wire.edge.name,
            "port": wire.edge.port,
            "listen": str(wire.listen),
            "upstreams": list(map(str, wire.upstreams)),
            "counters": asdict(await wire.counters()),
            "toxics": [asdict(toxic) for toxic in await wire.toxics()],
        }

    def _note(self, service: str, process: ProcessId) -> None:
        """On disk before anybody relies on it: who sweeps up after a crash reads this."""
        self._processes.append(
            "process", system=self.system, service=service, pid=process.pid, start=process.start, boot=process.boot
        )

    def _describe(self) -> None:
        told: dict[str, Any] = {
            "pid": os.getpid(),
            "guardian": os.getppid(),
            "system": self.system,
            **self.plan.describe(),
        }
        if self._failure is not None:
            told["failure"] = {"error": str(self._failure)}
            if isinstance(self._failure, InputError):
                told["failure"]["problems"] = list(map(encode_problem, self._failure.problems))
        fresh = self.state.supervisor.with_suffix(".new")
        fresh.write_text(json.dumps(told, indent=2))
        fresh.replace(self.state.supervisor)


async def _main(state: StateDirectory, system: str, pipe: int) -> None:
    # Written by our own parent a moment ago, through a pipe that nobody else holds.
    plan = pickle.loads(sys.stdin.buffer.read())  # noqa: S301
    supervisor = Supervisor(plan, state, system)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, supervisor.over.set)
    await supervisor.run()
    with suppress(BrokenPipeError):
        os.write(pipe, FAREWELL)


def main() -> None:
    tracker.die_with_parent(signal.SIGTERM)
    tracker.adopt_orphans()
    asyncio.run(_main(StateDirectory(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])))


if __name__ == "__main__":
    main()
