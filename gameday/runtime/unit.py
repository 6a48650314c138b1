"""One service of the process runtime, or one of its replicas, while it runs: launch, readiness, watch, end."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGKILL

from gameday.catalogue import Service
from gameday.catalogue.model import HealthCheck
from gameday.errors import GamedayError
from gameday.runtime import Endpoint, NotReady, ProcessId, State, child, forks, health, procfs
from gameday.runtime.child import Child
from gameday.runtime.images import Launch, Place
from gameday.runtime.images.registry import find
from gameday.runtime.layout import Layout, runs_image
from gameday.runtime.tracker import MARKER, Tracker

_POLL_SECONDS = 0.1
# A check that starts a program waits for an open port first, but not for ever:
# compose may name a port that the service never opens.
_PORT_SECONDS = 5.0
_SHORTEST_START_SECONDS = 30.0
_KILL_SECONDS = 5.0
# One look can miss a process that is being born: while it executes a program the
# kernel shows it without the environment by which an orphan is known.
_NOBODY_TWICE = 2
_LOOK_AGAIN_SECONDS = 0.01
_LOG_LINES = 20
_PLAIN = HealthCheck(test=(), interval=5.0, timeout=2.0, retries=3)


@dataclass(frozen=True)
class Host:
    """What all services of a system share."""

    system: str
    layout: Layout
    tracker: Tracker
    fork_server: forks.ForkServer
    inherited: Mapping[str, str]
    # (consumer, provider, container port) -> where that consumer finds it.
    provider: Callable[[str, str, int | None], Endpoint | None]
    on_process: Callable[[str, ProcessId], None]


class Unit:
    """`launched`, `ready` and `over` are done once it is so, or carry the error that keeps it from being so.

    `over`: it was a job, and did its work.
    """

    def __init__(self, service: Service, host: Host, log: Path) -> None:
        loop = asyncio.get_running_loop()
        self.service = service
        self.state = State.PENDING
        self.detail = ""
        self.exit_code: int | None = None
        self.launched: asyncio.Future[None] = loop.create_future()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self._host = host
        self._log = log
        self._launch: Launch | None = None
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        return self._child.process.pid if self._child and not self._child.ended.done() else None

    @property
    def completed(self) -> bool:
        """A job that did its work and left, as compose's service_completed_successfully."""
        return self.state is State.EXITED and self.exit_code == 0

    def begin(self, after: Sequence[asyncio.Future[None]]) -> None:
        """Starts it as soon as all of `after` are done. Idempotent."""
        if self._task is None:
            self._task = asyncio.create_task(self._bring_up(after))

    async def restart(self) -> None:
        async with self._lock:
            await self._cancel()
            await self._end()
            self._host.layout.refresh(self.service)
            await self._run()
            try:
                await self._until_ready()
            finally:
                # Also one that was late: it may become healthy yet.
                self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        async with self._lock:
            await self._cancel()
            if self._child is not None:
                await self._end()
            self.state, self.detail = State.STOPPED, ""

    def report(self, why: str) -> str:
        """Why it is not ready, with the last lines of its log."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        except OSError:
            lines = []
        tail = "\n".join(f"  {line}" for line in lines) or "  (its log is empty)"
        return f"{self.service.replica}: {why}\n{tail}"

    async def _bring_up(self, after: Sequence[asyncio.Future[None]]) -> None:
        try:
            await asyncio.gather(*map(asyncio.shield, after))
            await self._run()
            self.launched.set_result(None)
            await self._until_ready()
            self.ready.set_result(None)
        except Exception as error:  # noqa: BLE001 - carried to whoever waits for it
            self.detail = self.detail or str(error).partition("\n")[0]
            for waiting in (self.launched, self.ready, self.over):
                _fail(waiting, error)
            return
        await self._watch()

    async def _cancel(self) -> None:
        # Again and again: a cancellation can be lost where what is awaited ends at the same moment.
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_POLL_SECONDS)
        self._task = None

    async def _run(self) -> None:
        self.state, self.exit_code, self.detail = State.STARTING, None, ""
        launch = await self._image() if runs_image(self.service) else self._command()
        environment = {**launch.environment, MARKER: f"{self._host.system}/{self.service.replica}"}
        with self._log.open("ab" if self.launched.done() else "wb") as output:
            self._child = await self._host.fork_server.spawn(
                launch.argv, environment=environment, directory=launch.directory, output=output
            )
        self._launch = launch
        self._host.tracker.root(self.service.replica, self._child.process)
        self._host.on_process(self.service.replica, self._child.process)

    async def _image(self) -> Launch:
        server = find(self.service.image or "")
        if server is None:
            raise GamedayError(f"{self.service.name}: there is no local server for {self.service.image}")
        layout = self._host.layout
        return await server.prepare(
            Place(
                service=self.service,
                endpoints=layout.endpoints[self.service.replica],
                environment=self._environment(),
                inherited=self._host.inherited,
                arguments=tuple(layout.arguments(self.service)),
                home=layout.home(self.service),
                path=layout.path(self.service),
            )
        )

    def _command(self) -> Launch:
        layout = self._host.layout
        environment = {**self._host.inherited, **self._environment()}
        return Launch(tuple(layout.arguments(self.service)), environment, layout.directory(self.service))

    def _environment(self) -> dict[str, str]:
        return self._host.layout.environment(self.service, partial(self._host.provider, self.service.name))

    async def _until_ready(self) -> None:
        """Raises NotReady where it ends or does not become healthy in the time that compose gives it."""
        probe, check = self._probe(), self.service.health or _PLAIN
        limit = max(check.start_period + check.retries * (check.interval + check.timeout), _SHORTEST_START_SECONDS)
        began = time.monotonic()
        while True:
            if self._process.ended.done():
                self._ended()
                if self.completed and not self.service.ports:
                    return
                raise NotReady(self.report(f"ended while starting: {self.detail}"))
            self.detail = await self._ask(probe, check.timeout) or ""
            if not self.detail:
                await self._initialise()
                self.state = State.HEALTHY
                return
            if time.monotonic() - began > limit:
                self.state = State.UNHEALTHY
                raise NotReady(self.report(f"not healthy after {limit:g}s: {self.detail}"))
            await asyncio.wait([self._process.ended], timeout=_POLL_SECONDS)

    async def _initialise(self) -> None:
        if self._launch is not None and self._launch.initialise is not None:
            await self._launch.initialise()

    async def _watch(self) -> None:
        """Healthy, unhealthy, healthy again, until it ends."""
        if self.completed:
            return
        probe, check = self._probe(), self.service.health or _PLAIN
        failures = 0
        while not self._process.ended.done():
            await asyncio.wait([self._process.ended], timeout=check.interval)
            if self._process.ended.done():
                break
            self.detail = await self._ask(probe, check.timeout) or ""
            failures = failures + 1 if self.detail else 0
            if not failures:
                self.state = State.HEALTHY
            elif failures >= check.retries:
                self.state = State.UNHEALTHY
        self._ended()

    def _ended(self) -> None:
        self.exit_code = self._process.ended.result()
        self.state = State.EXITED
        code = self.exit_code
        self.detail = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
        if code:
            _fail(self.over, NotReady(self.report(f"ended before its work was done: {self.detail}")))
        elif not self.over.done():
            self.over.set_result(None)

    async def _ask(self, probe: health.Probe, timeout: float) -> health.Answer:
        try:
            async with asyncio.timeout(timeout):
                return await probe()
        except TimeoutError:
            return f"its health check did not answer within {timeout:g}s"

    def _probe(self) -> health.Probe:
        layout = self._host.layout
        endpoints = layout.endpoints[self.service.replica]
        if self.service.health is None or self.service.health.test[:1] == ("NONE",):
            return health.listens(endpoints)
        environment = self._environment()
        return health.probe(layout.health(self.service), endpoints, environment, self._check(environment))

    def _check(self, environment: Mapping[str, str]) -> health.Command:
        """Runs a health check's program: forked where it is Python, as it is where it is not."""
        timeout = (self.service.health or _PLAIN).timeout
        directory = self._host.layout.directory(self.service)
        complete = {**self._host.inherited, **environment}
        listens = health.listens(self._host.layout.endpoints[self.service.replica])
        patient_until = time.monotonic() + _PORT_SECONDS

        async def run(argv: Sequence[str]) -> health.Answer:
            closed = await listens() if time.monotonic() < patient_until else None
            if closed:
                return closed
            fork = forks.order(argv, complete, directory)
            if fork is not None:
                code = await self._host.fork_server.run(fork)
                return None if code == 0 else f"health check: exit code {code}"
            try:
                code, output = await child.run(argv, environment=complete, directory=directory, timeout=timeout)
            except (OSError, subprocess.TimeoutExpired) as error:
                return str(error)
            return None if code == 0 else f"health check: exit code {code}: {output.strip()[-200:]}"

        return run

    @property
    def _process(self) -> Child:
        if self._child is None:
            raise GamedayError(f"{self.service.replica} was not started")
        return self._child

    async def _end(self) -> None:
        """Asks the first process to end, then makes every one of the tree. A stopped one is woken to hear it."""
        members = self._host.tracker.members(self.service.replica)
        if self._launch is not None:
            procfs.send(self._process.process, self._launch.stop_signal)
        for member in members:
            procfs.send(member, SIGCONT)
        await asyncio.wait([self._process.ended], timeout=self.service.stop_grace)
        deadline = time.monotonic() + _KILL_SECONDS
        nobody = 0
        while nobody < _NOBODY_TWICE:
            members = self._host.tracker.members(self.service.replica)
            nobody = 0 if members else nobody + 1
            if time.monotonic() > deadline:
                raise GamedayError(
                    f"{self.service.replica}: processes {[each.pid for each in members]} cannot be ended"
                )
            for member in members:
                procfs.send(member, SIGKILL)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        if self._process.ended.done():
            self.exit_code = self._process.ended.result()


def _fail(waiting: asyncio.Future[None], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # marks it as seen: it may be reported by another service that waited
