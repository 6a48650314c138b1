"""What every runtime promises. A test module gives the `runtime` to try it on."""

from __future__ import annotations

import pytest

from gameday.runtime import Counters, NotReady, Runtime, State, Toxic

# `web` calls `api` at API_URL and waits until it is healthy, and `pair`, of which there are two; `other` stands alone.
COMPOSE = """
services:
  web:
    build: .
    command: [python, -m, http.server, "8000"]
    environment: {API_URL: "http://api:8000", PAIR_URL: "http://pair:8000"}
    expose: ["8000", "8001"]
    depends_on: {api: {condition: service_healthy}}
    healthcheck: &ask {test: [CMD, wget, -qO-, "http://localhost:8000/"], interval: 200ms, timeout: 2s, retries: 2}
  api:
    build: .
    command: [python, -m, http.server, "8000"]
    expose: ["8000"]
    healthcheck: *ask
  other:
    build: .
    command: [python, -m, http.server, "8000"]
    expose: ["8000"]
    healthcheck: *ask
  pair:
    build: .
    command: [python, -m, http.server, "8000"]
    expose: ["8000"]
    deploy: {replicas: 2}
    healthcheck: *ask
"""
PAIR = ["pair-1", "pair-2"]


async def state(runtime: Runtime, service: str) -> State:
    return next(status.state for status in await runtime.list() if status.name == service)


class RuntimeSuite:
    """Subclass it with a fixture `runtime` that is wired, not started, and is stopped at the end."""

    async def test_nothing_runs_before_it_is_started(self, runtime: Runtime) -> None:
        assert {status.state for status in await runtime.list()} == {State.PENDING}
        assert [status.name for status in await runtime.list()] == ["web", "api", "other", *PAIR]

    async def test_start_takes_what_a_service_depends_on_and_no_more(self, runtime: Runtime) -> None:
        await runtime.start(["web"])
        await runtime.wait_ready(30)
        assert await state(runtime, "web") is State.HEALTHY
        assert await state(runtime, "api") is State.HEALTHY
        assert await state(runtime, "other") is State.PENDING

    async def test_start_without_names_takes_all(self, runtime: Runtime) -> None:
        await runtime.start()
        await runtime.wait_ready(30)
        assert {status.state for status in await runtime.list()} == {State.HEALTHY}

    async def test_a_second_start_changes_nothing(self, runtime: Runtime) -> None:
        await runtime.start(["api"])
        await runtime.wait_ready(30)
        before = runtime.processes("api")
        await runtime.start(["api"])
        await runtime.wait_ready(30)
        assert runtime.processes("api") == before

    async def test_a_healthy_service_has_a_process_an_address_and_a_log(self, runtime: Runtime) -> None:
        await runtime.start(["api"])
        await runtime.wait_ready(30)
        (status,) = [status for status in await runtime.list(memory=True) if status.name == "api"]
        assert status.pid in [process.pid for process in runtime.processes("api")]
        assert status.pss_mb
        assert {status.pss_mb for status in await runtime.list()} == {None}, "measured though nobody asked"
        assert status.endpoints[8000] == runtime.endpoint("api") == runtime.endpoint("api", 8000)
        assert runtime.endpoint("api").host == "127.0.0.1"
        assert runtime.logs("api").is_file()

    async def test_the_first_port_is_the_one_that_is_meant(self, runtime: Runtime) -> None:
        await runtime.start(["web"])
        assert runtime.endpoint("web") == runtime.endpoint("web", 8000) != runtime.endpoint("web", 8001)

    async def test_names_that_the_catalogue_does_not_hold(self, runtime: Runtime) -> None:
        await runtime.start(["api"])
        for ask in (runtime.endpoint, runtime.processes, runtime.logs):
            with pytest.raises(KeyError):
                ask("nobody")
        with pytest.raises(KeyError):
            runtime.endpoint("api", 1)
        with pytest.raises(KeyError):
            await runtime.restart("nobody")
        with pytest.raises(KeyError):
            await runtime.start(["nobody"])

    async def test_restart_gives_new_processes_at_the_same_address(self, runtime: Runtime) -> None:
        await runtime.start(["api"])
        await runtime.wait_ready(30)
        processes, endpoint = set(runtime.processes("api")), runtime.endpoint("api")
        await runtime.restart("api")
        assert await state(runtime, "api") is State.HEALTHY
        assert runtime.processes("api")
        assert processes.isdisjoint(runtime.processes("api"))
        assert runtime.endpoint("api") == endpoint

    async def test_stop_leaves_no_process_and_can_be_said_twice(self, runtime: Runtime) -> None:
        await runtime.start()
        await runtime.wait_ready(30)
        await runtime.stop()
        assert not any(runtime.processes(name) for name in runtime.catalogue.services)
        assert {status.state for status in await runtime.list()} == {State.STOPPED}
        await runtime.stop()

    async def test_what_was_not_started_can_be_stopped(self, runtime: Runtime) -> None:
        await runtime.stop()

    async def test_a_dead_service_is_not_ready_until_it_is_restarted(self, runtime: Runtime) -> None:
        await runtime.start(["api"])
        await runtime.wait_ready(30)
        await self.crash(runtime, "api")
        assert await state(runtime, "api") is State.EXITED
        assert not runtime.processes("api")
        with pytest.raises(NotReady, match="api"):
            await runtime.wait_ready(1)
        await runtime.restart("api")
        await runtime.wait_ready(30)

    async def test_each_replica_has_a_name_an_address_processes_and_a_log(self, runtime: Runtime) -> None:
        await runtime.start(["pair"])
        await runtime.wait_ready(30)
        listed = [status for status in await runtime.list() if status.state is State.HEALTHY]
        assert [status.name for status in listed] == PAIR
        assert [status.endpoints[8000] for status in listed] == [runtime.endpoint(name) for name in PAIR]
        assert len({runtime.endpoint(name) for name in ("pair", *PAIR)}) == 3
        first, second = (set(runtime.processes(name)) for name in PAIR)
        assert first
        assert second
        assert first.isdisjoint(second)
        assert set(runtime.processes("pair")) == first | second
        assert all(runtime.logs(name).is_file() for name in PAIR)

    async def test_replicas_that_there_are_not(self, runtime: Runtime) -> None:
        await runtime.start(["api", "pair"])
        for name in ("api-1", "pair-0", "pair-3", "pair-", "pair-x", "-1"):
            for ask in (runtime.endpoint, runtime.processes, runtime.logs):
                with pytest.raises(KeyError):
                    ask(name)
            with pytest.raises(KeyError):
                await runtime.restart(name)

    async def test_one_replica_is_restarted_or_all_are(self, runtime: Runtime) -> None:
        await runtime.start(["pair"])
        await runtime.wait_ready(30)
        first, second = (set(runtime.processes(name)) for name in PAIR)
        addresses = [runtime.endpoint(name) for name in ("pair", *PAIR)]
        await runtime.restart("pair-2")
        assert set(runtime.processes("pair-1")) == first
        assert second.isdisjoint(runtime.processes("pair-2"))
        await runtime.restart("pair")
        assert len(runtime.processes("pair")) == len(first | second)
        assert first.isdisjoint(runtime.processes("pair-1"))
        assert {await state(runtime, name) for name in PAIR} == {State.HEALTHY}
        assert [runtime.endpoint(name) for name in ("pair", *PAIR)] == addresses

    async def test_a_dead_replica_leaves_the_other_alone(self, runtime: Runtime) -> None:
        await runtime.start(["pair"])
        await runtime.wait_ready(30)
        await self.crash(runtime, "pair-2")
        assert [await state(runtime, name) for name in PAIR] == [State.HEALTHY, State.EXITED]
        assert not runtime.processes("pair-2")
        assert runtime.processes("pair") == runtime.processes("pair-1")
        with pytest.raises(NotReady, match="pair-2"):
            await runtime.wait_ready(1)

    async def test_a_wire_leads_to_every_replica(self, runtime: Runtime) -> None:
        await runtime.start()
        (edge,) = runtime.catalogue.find("web->pair")
        wire = runtime.wire(edge)
        assert wire is not None
        assert list(wire.upstreams) == [runtime.endpoint(name) for name in PAIR]
        assert await wire.counters(wire.upstreams[1]) == Counters()

    async def test_a_declared_edge_is_wired_and_its_proxy_takes_toxics(self, runtime: Runtime) -> None:
        await runtime.start()
        (edge,) = runtime.catalogue.find("web->api")
        wire = runtime.wire(edge)
        assert wire is not None
        assert wire.edge == edge
        assert list(wire.upstreams) == [runtime.endpoint("api", 8000)]
        assert wire.listen not in wire.upstreams
        assert await wire.counters() == Counters()
        await wire.add(Toxic("slow", "latency", {"latency": 10}))
        assert [toxic.name for toxic in await wire.toxics()] == ["slow"]
        await wire.remove("slow")
        await wire.remove("slow")
        assert await wire.toxics() == []

    async def crash(self, runtime: Runtime, service: str) -> None:
        """Ends the service from outside, as `kill -9`, and waits until the runtime knows."""
        raise NotImplementedError
