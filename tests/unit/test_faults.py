"""The conformance suite of the faults on the runtime in memory, and what is wrong with their targets."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conformance.faults import EDGE, SERVICE, FaultSuite, Ground

from gameday.catalogue import Catalogue, Edge, EdgeKind, Service
from gameday.catalogue.model import Location
from gameday.errors import InputError
from gameday.faults import probe, registry, tree
from gameday.journal import Journal
from gameday.leases import LeaseKeeper, Patience
from gameday.runtime import Endpoint, NotReady, procfs
from gameday.runtime.fake import FakeRuntime

WHERE = Location(Path("compose.yml"), 1)


def catalogue() -> Catalogue:
    ports = {"web": (8080,), "api": (80,), "db": (5432, 5433)}
    services = {name: Service(name, WHERE, expose=exposed) for name, exposed in ports.items()}
    services["pair"] = Service("pair", WHERE, expose=(80,), replicas=2)
    edges = (
        Edge("web", "api", 80, EdgeKind.HTTP, ()),
        Edge("api", "db", 5432, EdgeKind.STORE, ()),
        Edge("web", "db", 5432, EdgeKind.STORE, ()),
        Edge("web", "db", 5433, EdgeKind.STORE, ()),
        Edge("web", "pair", 80, EdgeKind.HTTP, ()),
    )
    return Catalogue((WHERE.file,), Path(), "test", services, edges)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """In memory but for api: a tree of real processes, for which /proc can speak."""
    runtime = FakeRuntime(catalogue(), tmp_path)
    await runtime.start()
    shell = subprocess.Popen(["sh", "-c", "sleep 300 & sleep 300 & wait"], start_new_session=True)
    while len(procfs.tree([shell.pid])) < 3:
        await asyncio.sleep(0.01)
    real = [entry.id for entry in procfs.tree([shell.pid])]
    runtime.adopt(SERVICE, real)
    wire = runtime.wire(runtime.catalogue.find(EDGE)[0])
    assert wire is not None

    async def attempt() -> bool:
        states = {procfs.state(process) for process in runtime.processes(SERVICE)}
        limits = {resource.prlimit(process.pid, resource.RLIMIT_AS)[0] for process in real if procfs.alive(process)}
        reachable = not states & set("TZ") and limits <= {resource.RLIM_INFINITY}
        await wire.attempt(reachable=reachable)
        return reachable and not await wire.toxics()

    async def end() -> None:
        runtime.crash(SERVICE)

    journal = Journal(tmp_path / "leases.jsonl")
    keeper = LeaseKeeper(runtime, runtime.catalogue, journal, Patience(exercised_every=0.05))
    yield Ground(runtime, keeper, attempt, end)
    await keeper.close()
    journal.close()
    for process in real:
        procfs.send(process, signal.SIGKILL)
    shell.wait()


class TestFaults(FaultSuite):
    pass


def wrong(fault: str, target: str, **arguments: object) -> str:
    problems = registry.problems(fault, target, arguments, catalogue())
    return "\n".join(f"{problem.message}. {problem.mend}" for problem in problems)


def test_a_misspelt_fault_target_or_argument_names_its_neighbours() -> None:
    assert "did you mean 'kill'?" in wrong("kil", "api")
    assert "did you mean 'api'? known: api, db, pair, web" in wrong("kill", "apy")
    assert "did you mean 'api->db'?" in wrong("down", "apy->db")
    assert "did you mean 'jitter'?" in wrong("latency", "web->api", latency=5, jiter=1)


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert wrong("latency", "web->nothing", jitter="much", toxicity=2).count("\n") == 3


def test_an_edge_that_is_several_wants_its_port() -> None:
    assert "name one: web->db:5432, web->db:5433" in wrong("down", "web->db")
    assert wrong("down", "web->db:5433") == ""


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        ("latency", {}),
        ("latency", {"latency": float("nan")}),
        ("latency", {"latency": 10, "toxicity": 0}),
        ("timeout", {"timeout": True}),
        ("reset_peer", {"stream": "both"}),
        ("down", {"toxicity": 0.5}),
    ],
)
def test_arguments_out_of_their_limits_are_problems(fault: str, arguments: dict[str, object]) -> None:
    assert wrong(fault, "web->api", **arguments)


def test_the_replicas_of_a_target() -> None:
    assert wrong("kill", "pair") == wrong("kill", "pair-2") == ""
    assert "there is no replica 'pair-3'. name one: pair-1, pair-2; or all: pair" in wrong("kill", "pair-3")
    assert "'api' has no replica 'api-2': it runs once" in wrong("pause", "api-2")
    assert "gameday up --scale api=2" in wrong("pause", "api-2")


async def test_what_met_one_replica_is_told_from_what_met_the_other(tmp_path: Path) -> None:
    runtime = FakeRuntime(catalogue(), tmp_path)
    await runtime.start()
    wire = runtime.wire(runtime.catalogue.find("web->pair")[0])
    assert wire is not None
    broken, whole, both = (registry.FAULTS["kill"](target, {}) for target in ("pair-2", "pair-1", "pair"))
    for fault in (broken, whole, both):
        await fault.mark(runtime)  # type: ignore[attr-defined]
    await wire.attempt(passed_over=[wire.upstreams[1]])
    assert (await broken.exercised(runtime)).holds
    assert not (await whole.exercised(runtime)).holds
    # No consumer was refused: the other one took it.
    assert not (await both.exercised(runtime)).holds


async def test_an_edge_without_a_proxy_is_refused_with_the_mend(tmp_path: Path) -> None:
    runtime = FakeRuntime(catalogue(), tmp_path, wired=False)
    await runtime.start()
    journal = Journal(tmp_path / "leases.jsonl")
    with pytest.raises(InputError) as caught:
        await LeaseKeeper(runtime, runtime.catalogue, journal).inject("down", EDGE, {}, 5.0, None)
    journal.close()
    assert caught.value.problems[0].mend == "gameday down && gameday up --wire all"


async def test_a_service_that_no_wire_leads_to_cannot_be_shown_to_be_met(tmp_path: Path) -> None:
    runtime = FakeRuntime(catalogue(), tmp_path, wired=False)
    await runtime.start()
    fault = registry.FAULTS["kill"](SERVICE, {})
    assert (await fault.exercised(runtime)).facts == {"reason": "no wired edge leads to api"}


async def test_a_pause_that_misses_a_process_is_not_injected(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk is broken on purpose: it finds the parent alone, and the children go on."""
    whole = list(ground.runtime.processes(SERVICE))
    monkeypatch.setattr(tree, "walk", lambda runtime, service: whole[:1])
    monkeypatch.setattr(tree, "holders", lambda ports: whole[1:])
    ground.keeper._patience = Patience(inject=0.3)
    lease = await ground.inject("pause")
    assert lease["state"] == "not-injected"
    assert "S" in lease["in_force"]["facts"]["processes"].values()
    assert not any(procfs.state(process) == "T" for process in whole)


async def test_a_process_that_forks_while_it_is_paused_does_not_escape(ground: Ground) -> None:
    """The second walk finds what the first could not."""
    whole = list(ground.runtime.processes(SERVICE))
    walks: list[int] = []

    def growing(service: str) -> list[object]:
        walks.append(0)
        return list(whole if len(walks) > 1 else whole[:1])

    ground.runtime.processes = growing  # type: ignore[method-assign, assignment]
    frozen: set[object] = set()
    await tree.freeze(ground.runtime, SERVICE, frozen)  # type: ignore[arg-type]
    assert frozen == set(whole)
    assert {procfs.state(process) for process in whole} == {"T"}


async def test_who_does_not_heed_a_stop_is_killed_and_who_does_may_say_goodbye(tmp_path: Path) -> None:
    runtime = FakeRuntime(catalogue(), tmp_path)
    await runtime.start()
    heard = tmp_path / "heard"
    script = f"trap 'echo goodbye > {heard}; trap \"\" TERM; touch {heard}.deaf' TERM; while :; do sleep 0.05; done"
    shell = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    while not procfs.tree([shell.pid])[1:]:
        await asyncio.sleep(0.01)
    process = procfs.identify(shell.pid)
    assert process is not None
    runtime.adopt(SERVICE, [process])
    await registry.FAULTS["stop"](SERVICE, {"grace": 300}).inject(runtime, "a-lease", 30.0)
    assert heard.read_text() == "goodbye\n"
    assert shell.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_restart_is_met_when_all_that_lived_has_ended_and_others_live(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    before, go_on = list(ground.runtime.processes(SERVICE)), asyncio.Event()
    started: list[None] = []

    async def restart(service: str) -> None:
        for process in before:
            procfs.send(process, signal.SIGKILL)
        ground.runtime.crash(service)  # type: ignore[attr-defined]
        if comes_back or started:
            await FakeRuntime.restart(ground.runtime, service)  # type: ignore[arg-type]
        started.append(None)
        await go_on.wait()  # until it is healthy
        if not ground.runtime.processes(service):
            raise NotReady("it was not healthy in time")

    monkeypatch.setattr(ground.runtime, "restart", restart)
    lease = await ground.keeper.inject("restart", SERVICE, {}, 30.0, "a-run")
    assert (lease["state"], lease["in_force"]["holds"]) == ("in-force", True)
    fault = ground.keeper._held[lease["id"]].fault
    assert not (await fault.exercised(ground.runtime)).holds
    go_on.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (await fault.exercised(ground.runtime)).holds is comes_back
    (undone,) = await ground.keeper.undo(lease=lease["id"])
    assert (undone["state"], undone["exercised"]["holds"]) == ("undone", comes_back), undone
    assert undone["undone"]["facts"]["states"] == {SERVICE: "healthy"}


async def test_a_restart_that_ends_nobody_is_not_injected(ground: Ground) -> None:
    """The runtime in memory knows nothing of the real processes: they live on."""
    ground.keeper._patience = Patience(inject=0.2)
    lease = await ground.keeper.inject("restart", SERVICE, {}, 30.0, "a-run")
    assert lease["state"] == "not-injected"


async def test_the_processor_is_given_and_taken_in_turns(ground: Ground) -> None:
    lease = await ground.keeper.inject("cpu", SERVICE, {"share": 0.5, "period": 40}, 30.0, "a-run")
    process = next(iter(ground.runtime.processes(SERVICE)))
    seen: set[str | None] = set()
    async with asyncio.timeout(5):
        while not seen >= {"T", "S"}:
            seen.add(procfs.state(process))
            await asyncio.sleep(0.005)
    (undone,) = await ground.keeper.undo(lease=lease["id"])
    assert undone["in_force"]["holds"]
    assert procfs.state(process) == "S"


async def test_a_limit_of_memory_leaves_its_headroom_and_goes_again(ground: Ground) -> None:
    before = {each: resource.prlimit(each.pid, resource.RLIMIT_AS) for each in ground.runtime.processes(SERVICE)}
    lease = await ground.keeper.inject("memory", SERVICE, {"headroom": 8}, 30.0, "a-run")
    for process in before:
        mapped = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        assert resource.prlimit(process.pid, resource.RLIMIT_AS)[0] - mapped == 8 * 1024 * 1024
    await ground.keeper.undo(lease=lease["id"])
    assert {each: resource.prlimit(each.pid, resource.RLIMIT_AS) for each in before} == before


def test_a_fault_of_a_model_wants_a_service_with_an_admin_api() -> None:
    assert "'api' is no service with an admin API" in wrong("overloaded", "api")
    assert "did you mean 'factor'?" in wrong("token-burn", "api", factr=3)


async def test_the_probe_tells_an_answer_from_silence_and_refusal() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    assert await probe.ask(endpoint) is probe.Answer.ANSWERED
    server.close()
    await server.wait_closed()
    assert await probe.ask(endpoint) is probe.Answer.REFUSED


async def test_whoever_holds_a_port_is_found_without_the_tree() -> None:
    async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(stay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert [process.pid for process in tree.holders([port])] == [os.getpid()]
    server.close()
