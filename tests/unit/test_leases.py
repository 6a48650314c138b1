"""The lease keeper alone, over a fault whose world the test moves."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gameday.catalogue import Catalogue, Edge, EdgeKind, Service
from gameday.catalogue.model import Location
from gameday.errors import InputError, Problem
from gameday.faults import Evidence, Fault, registry
from gameday.journal import Journal, read
from gameday.leases import LeaseKeeper, Patience, settle, unfinished
from gameday.runtime import ProcessId, Runtime, procfs
from gameday.runtime.fake import FakeRuntime

WHERE = Location(Path("compose.yml"), 1)


@dataclass
class World:
    """What the scripted fault finds. `calls` is what was asked of it, in order."""

    takes_hold: bool = True
    met: bool = False
    undo_fails: int = 0
    inject_raises: bool = False
    broken: bool = False
    calls: list[str] = field(default_factory=list)
    journal: Path = Path()
    stuck: asyncio.Event | None = None
    together: asyncio.Barrier | None = None


WORLD = World()


class Scripted:
    name = "scripted"

    def __init__(self, target: str, arguments: Mapping[str, Any]) -> None:
        self.target = target
        self.arguments = arguments

    def problems(self, catalogue: Catalogue) -> Sequence[Problem]:
        return []

    def obstacles(self, runtime: Runtime) -> Sequence[Problem]:
        return []

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:
        WORLD.calls.append("inject")
        assert read(WORLD.journal).records[-1].data["phase"] == "intent"
        if WORLD.stuck is not None:
            await WORLD.stuck.wait()
        WORLD.broken = True
        if WORLD.inject_raises:
            raise OSError("no such luck")

    async def in_force(self, runtime: Runtime) -> Evidence:
        return Evidence(WORLD.broken and WORLD.takes_hold, {"broken": WORLD.broken})

    async def exercised(self, runtime: Runtime) -> Evidence:
        return Evidence(WORLD.met, {"met": WORLD.met})

    async def undo(self, runtime: Runtime) -> None:
        WORLD.calls.append("undo")
        if WORLD.undo_fails:
            WORLD.undo_fails -= 1
            raise OSError("it sticks")
        if WORLD.together is not None:
            await WORLD.together.wait()
        WORLD.broken = False

    async def undone(self, runtime: Runtime) -> Evidence:
        return Evidence(not WORLD.broken, {"broken": WORLD.broken})

    def mend(self) -> str:
        return "pull it out"


@pytest.fixture
async def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LeaseKeeper]:
    monkeypatch.setitem(registry.FAULTS, "scripted", Scripted)  # type: ignore[arg-type]
    WORLD.__init__(journal=tmp_path / "leases.jsonl")  # type: ignore[misc]
    services = {name: Service(name, WHERE, expose=(80,)) for name in ("web", "api")}
    edge = Edge("web", "api", 80, EdgeKind.HTTP, ())
    runtime = FakeRuntime(Catalogue((WHERE.file,), Path(), "test", services, (edge,)), tmp_path)
    await runtime.start()
    patience = Patience(inject=0.3, undo=0.2, witness=0.2, look_every=0.01, exercised_every=0.02, retry_every=0.02)
    keeper = LeaseKeeper(runtime, runtime.catalogue, Journal(WORLD.journal), patience)
    yield keeper
    WORLD.undo_fails = 0
    await keeper.close()
    keeper._journal.close()


async def inject(keeper: LeaseKeeper, ttl: float = 30.0, run: str = "r1", **given: Any) -> dict[str, Any]:
    return await keeper.inject("scripted", "api", {}, ttl, run, **given)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def phases() -> list[str]:
    return [record.data["phase"] for record in read(WORLD.journal).of("lease")]


async def test_intent_is_on_disk_before_anything_happens(keeper: LeaseKeeper) -> None:
    lease = await inject(keeper)
    assert lease["state"] == "in-force"
    assert lease["intent_wall"] <= lease["in_force_wall"]
    assert phases() == ["intent", "in-force"]


async def test_what_cannot_be_journalled_is_not_done(keeper: LeaseKeeper) -> None:
    keeper._journal.close()
    with pytest.raises(ValueError, match="closed file"):
        await inject(keeper)
    assert WORLD.calls == []
    assert keeper.leases() == []
    keeper._journal = Journal(WORLD.journal)


async def test_a_full_disk_does_not_keep_a_fault_in_force(keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    await inject(keeper)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(keeper._journal, "append", full)
        (lease,) = await keeper.undo(run="r1")
    assert lease["state"] == "undone"
    assert "could not be journalled" in lease["error"]
    assert not WORLD.broken


async def test_without_evidence_in_time_it_is_undone_and_not_injected(keeper: LeaseKeeper) -> None:
    WORLD.takes_hold = False
    lease = await inject(keeper)
    assert (lease["state"], lease["undone"]["holds"]) == ("not-injected", True)
    assert "not seen in force in time" in lease["error"]
    assert not WORLD.broken


async def test_an_injection_that_raises_half_way_is_undone(keeper: LeaseKeeper) -> None:
    WORLD.inject_raises = True
    lease = await inject(keeper)
    assert (lease["state"], lease["error"]) == ("not-injected", "OSError: no such luck")
    assert WORLD.calls == ["inject", "undo"]
    assert not WORLD.broken


async def test_it_is_undone_although_whoever_asked_has_gone(keeper: LeaseKeeper) -> None:
    WORLD.stuck = asyncio.Event()
    asking = asyncio.create_task(inject(keeper, ttl=0.2))
    await until(lambda: WORLD.calls == ["inject"])
    asking.cancel()
    WORLD.stuck.set()
    await until(lambda: keeper.leases()[0]["state"] == "in-force")
    await until(lambda: keeper.leases()[0]["state"] == "expired")
    assert not WORLD.broken


async def test_a_lease_ends_by_its_own_clock(keeper: LeaseKeeper) -> None:
    await inject(keeper, ttl=0.15)
    await until(lambda: keeper.leases()[0]["state"] == "expired")
    assert not WORLD.broken
    assert phases() == ["intent", "in-force", "expired"]
    (lease,) = await keeper.undo(run="r1")
    assert lease["state"] == "expired"


async def test_a_lease_ends_with_its_owner(keeper: LeaseKeeper) -> None:
    owner = subprocess.Popen(["sleep", "300"])
    identity = procfs.identify(owner.pid)
    assert identity is not None
    await inject(keeper, owner=asdict(identity))
    await asyncio.sleep(0.1)
    assert keeper.leases()[0]["state"] == "in-force"
    owner.kill()
    owner.wait()
    await until(lambda: keeper.leases()[0]["state"] == "expired")
    assert not WORLD.broken


async def test_evidence_of_use_is_kept_up_to_date_and_never_forgotten(keeper: LeaseKeeper) -> None:
    lease = await inject(keeper)
    assert not lease["exercised"]["holds"]
    WORLD.met = True
    await until(lambda: keeper.leases()[0]["exercised"]["holds"])
    WORLD.met = False
    (undone,) = await keeper.undo(lease=lease["id"])
    assert undone["exercised"]["holds"]
    assert phases() == ["intent", "in-force", "exercised", "undone"]


async def test_use_is_looked_at_before_the_undo(keeper: LeaseKeeper) -> None:
    keeper._patience = Patience(exercised_every=60)
    lease = await inject(keeper)
    WORLD.met = True
    (undone,) = await keeper.undo(lease=lease["id"])
    assert undone["exercised"]["holds"]


async def test_a_fault_that_ended_behind_our_back_is_no_evidence(keeper: LeaseKeeper) -> None:
    await inject(keeper)
    WORLD.broken = False
    (undone,) = await keeper.undo(run="r1")
    assert not undone["in_force"]["holds"]
    assert undone["in_force"]["facts"]["last_look"] == {"broken": False}


async def test_a_last_look_that_fails_takes_no_evidence_away(
    keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    await inject(keeper)

    async def blind(self: Scripted, runtime: Runtime) -> Evidence:
        raise OSError("no /proc today")

    monkeypatch.setattr(Scripted, "in_force", blind)
    (undone,) = await keeper.undo(run="r1")
    assert undone["in_force"]["holds"]
    assert undone["in_force"]["facts"]["last_look"] == {"error": "OSError: no /proc today"}


async def test_an_undo_is_tried_until_it_holds(keeper: LeaseKeeper) -> None:
    await inject(keeper)
    WORLD.undo_fails = 3
    (lease,) = await keeper.undo(run="r1")
    assert (lease["state"], lease["error"], lease["mend"]) == ("undone", None, None)
    assert WORLD.calls.count("undo") == 4


async def test_what_cannot_be_undone_is_leaked_with_the_mend_and_can_be_tried_again(keeper: LeaseKeeper) -> None:
    await inject(keeper)
    WORLD.undo_fails = 10_000
    (lease,) = await keeper.undo(run="r1")
    assert (lease["state"], lease["error"], lease["mend"]) == ("leaked", "OSError: it sticks", "pull it out")
    with pytest.raises(InputError, match="is held by the lease"):
        await inject(keeper)
    WORLD.undo_fails = 0
    (mended,) = await keeper.undo(all=True)
    assert (mended["state"], mended["error"], mended["mend"]) == ("undone", None, None)
    assert phases() == ["intent", "in-force", "leaked", "undone"]


async def test_a_failed_injection_that_cannot_be_undone_is_leaked(keeper: LeaseKeeper) -> None:
    WORLD.takes_hold = False
    WORLD.undo_fails = 10_000
    assert (await inject(keeper))["state"] == "leaked"


async def test_a_service_and_its_replica_cannot_both_be_held(keeper: LeaseKeeper) -> None:
    pair = Service("pair", WHERE, expose=(80,), replicas=2)
    keeper._catalogue = replace(keeper._catalogue, services={**keeper._catalogue.services, "pair": pair})
    for free in ("pair-1", "pair-2", "api"):
        await keeper.inject("scripted", free, {}, 30.0, "r1")
    for held in ("pair", "pair-1"):
        with pytest.raises(InputError, match="is held by the lease"):
            await keeper.inject("scripted", held, {}, 30.0, "r1")


async def test_a_target_has_one_lease_at_a_time_whatever_its_name(keeper: LeaseKeeper) -> None:
    await keeper.inject("down", "web->api", {}, 30.0, "r1")
    with pytest.raises(InputError, match="is held by the lease down-"):
        await keeper.inject("latency", "web->api:80", {"latency": 5}, 30.0, "r2")
    await keeper.undo(run="r1")
    await keeper.inject("latency", "web->api:80", {"latency": 5}, 30.0, "r2")


async def test_two_at_the_same_moment_cannot_both_have_the_target(keeper: LeaseKeeper) -> None:
    outcomes = await asyncio.gather(inject(keeper), inject(keeper), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [dict, InputError]


async def test_undo_by_lease_by_run_and_of_all(keeper: LeaseKeeper) -> None:
    first = await keeper.inject("scripted", "api", {}, 30.0, "r1")
    second = await keeper.inject("down", "web->api", {}, 30.0, "r2")
    assert [lease["id"] for lease in keeper.leases("r2")] == [second["id"]]
    assert [lease["state"] for lease in await keeper.undo(run="r2")] == ["undone"]
    assert [lease["state"] for lease in keeper.leases()] == ["in-force", "undone"]
    assert [lease["id"] for lease in await keeper.undo(all=True)] == [first["id"]]
    assert await keeper.undo(all=True) == []
    with pytest.raises(InputError, match="there is no lease 'nonsense'"):
        await keeper.undo(lease="nonsense")
    with pytest.raises(InputError, match="nothing says what to undo"):
        await keeper.undo()


async def test_services_that_need_each_other_are_undone_side_by_side(keeper: LeaseKeeper) -> None:
    for target in ("web", "api"):
        await keeper.inject("scripted", target, {}, 30.0, "r1")
    WORLD.together = asyncio.Barrier(2)
    assert [lease["state"] for lease in await keeper.undo(run="r1")] == ["undone", "undone"]


async def test_the_undo_waits_for_an_injection_under_way(keeper: LeaseKeeper) -> None:
    WORLD.stuck = asyncio.Event()
    injecting = asyncio.create_task(inject(keeper))
    await until(lambda: WORLD.calls == ["inject"])
    undoing = asyncio.create_task(keeper.undo(run="r1"))
    await asyncio.sleep(0)
    WORLD.stuck.set()
    await injecting
    assert (await undoing)[0]["state"] == "undone"
    assert not WORLD.broken


@pytest.mark.parametrize("ttl", [0.0, -1.0, 3601.0, float("nan")])
async def test_a_lease_lasts_between_nothing_and_an_hour(keeper: LeaseKeeper, ttl: float) -> None:
    with pytest.raises(InputError, match="a lease cannot last"):
        await inject(keeper, ttl=ttl)
    assert WORLD.calls == []


async def test_unknown_names_are_problems_and_leave_no_trace(keeper: LeaseKeeper) -> None:
    with pytest.raises(InputError) as caught:
        await keeper.inject("kil", "ap", {}, -1, "r1")
    assert [problem.key for problem in caught.value.problems] == ["fault", "lease"]
    assert phases() == []


async def test_closing_undoes_everything_and_takes_nothing_more(keeper: LeaseKeeper) -> None:
    await inject(keeper)
    await keeper.close()
    assert not WORLD.broken
    assert keeper.leases()[0]["state"] == "undone"
    with pytest.raises(InputError, match="going down"):
        await inject(keeper)


async def test_after_a_crash_open_leases_are_closed_once_nothing_lives(keeper: LeaseKeeper) -> None:
    lease = await inject(keeper)
    assert [each["id"] for each in unfinished(read(WORLD.journal))] == [lease["id"]]
    (closed,) = settle(WORLD.journal, [])
    assert (closed["state"], closed["undone"]["holds"]) == ("undone", True)
    assert phases()[-1] == "undone"
    assert settle(WORLD.journal, []) == []


async def test_what_outlives_its_system_is_leaked_until_the_next_one_undoes_it(
    keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, undone = await inject(keeper), []

    def inherited(target: str, given: Mapping[str, Any], told: str) -> Fault:
        undone.append(told)
        return registry.FAULTS[lease["fault"]](target, given)

    monkeypatch.setattr(registry, "LASTING", {lease["fault"]: inherited})
    (closed,) = settle(WORLD.journal, [])
    assert (closed["state"], closed["undone"]["holds"]) == ("leaked", False)
    assert closed["mend"]
    await keeper.inherit()
    assert undone == []  # its own
    journal = Journal(WORLD.journal)
    following = LeaseKeeper(keeper._runtime, keeper._catalogue, journal)
    await following.inherit()
    journal.close()
    assert undone == [lease["id"]]
    assert [each["state"] for each in following.leases()] == ["undone"]
    assert not unfinished(read(WORLD.journal))


async def test_after_a_crash_a_survivor_means_leaked(keeper: LeaseKeeper) -> None:
    await inject(keeper)
    (lease,) = settle(WORLD.journal, [ProcessId(77, 1, "boot")])
    assert (lease["state"], lease["mend"]) == ("leaked", "kill -9 77")
    assert unfinished(read(WORLD.journal))
