"""The runtime in memory: the conformance suite, and the handles that make things happen."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from conformance.runtimes import COMPOSE, RuntimeSuite

from gameday.catalogue import compose
from gameday.runtime import Runtime, State, Toxic, procfs
from gameday.runtime.fake import FakeRuntime


@pytest.fixture
def runtime(tmp_path: Path) -> FakeRuntime:
    (tmp_path / "compose.yml").write_text(COMPOSE)
    return FakeRuntime(compose.load([tmp_path / "compose.yml"], environment={}), tmp_path / "logs")


class TestConformance(RuntimeSuite):
    async def crash(self, runtime: Runtime, service: str) -> None:
        assert isinstance(runtime, FakeRuntime)
        runtime.crash(service)


async def test_fake_processes_can_be_signalled_without_reaching_anybody(runtime: FakeRuntime) -> None:
    await runtime.start(["api"])
    (process,) = runtime.processes("api")
    assert not procfs.alive(process)
    assert not procfs.send(process, signal.SIGKILL)


async def test_adopted_processes_are_those_of_the_service(runtime: FakeRuntime) -> None:
    await runtime.start(["api"])
    mine = procfs.identify(os.getpid())
    assert mine
    runtime.adopt("api", [mine])
    assert runtime.processes("api") == (mine,)


async def test_an_unwired_runtime_has_no_wires(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(COMPOSE)
    catalogue = compose.load([tmp_path / "compose.yml"], environment={})
    runtime = FakeRuntime(catalogue, tmp_path, wired=False)
    assert runtime.wire(catalogue.find("web->api")[0]) is None


async def test_a_wire_counts_what_its_consumer_attempts(runtime: FakeRuntime) -> None:
    wire = runtime.wire(runtime.catalogue.find("web->api")[0])
    assert wire
    await wire.attempt()
    await wire.attempt(reachable=False)
    await wire.add(Toxic("cut", "reset_peer", {}))
    await wire.attempt()
    counters = await wire.counters()
    assert (counters.connections, counters.attempts, counters.refused, counters.met) == (3, 3, 1, 1)
    assert counters.unanswered == 2


async def test_a_toxic_leaves_by_itself_when_its_time_is_up(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(COMPOSE)
    now = [0.0]
    catalogue = compose.load([tmp_path / "compose.yml"], environment={})
    runtime = FakeRuntime(catalogue, tmp_path, clock=lambda: now[0])
    wire = runtime.wire(catalogue.find("web->api")[0])
    assert wire
    await wire.add(Toxic("slow", "latency", {"latency": 1}, ttl=10))
    now[0] = 9.9
    assert await wire.toxics()
    now[0] = 10.0
    assert not await wire.toxics()


async def test_a_crash_has_an_exit_code(runtime: FakeRuntime) -> None:
    await runtime.start(["api"])
    runtime.crash("api", -11)
    (status,) = [each for each in await runtime.list() if each.name == "api"]
    assert (status.state, status.exit_code) == (State.EXITED, -11)
