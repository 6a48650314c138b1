"""What every fault promises, on any runtime. A test module gives the `ground` to stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gameday.errors import InputError
from gameday.faults import registry
from gameday.journal import read
from gameday.leases import LeaseKeeper
from gameday.runtime import ProcessId, Runtime, procfs

SERVICE = "api"
EDGE = "web->api"
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "kill": (SERVICE, {}),
    "stop": (SERVICE, {"grace": 500}),
    "pause": (SERVICE, {}),
    "cpu": (SERVICE, {"share": 0.98, "period": 4000}),
    "memory": (SERVICE, {}),
    "latency": (EDGE, {"latency": 200, "jitter": 10}),
    "bandwidth": (EDGE, {"rate": 1}),
    "slicer": (EDGE, {"average_size": 40, "size_variation": 10, "delay": 50_000}),
    "slow_close": (EDGE, {"delay": 1000}),
    "timeout": (EDGE, {"timeout": 100}),
    "reset_peer": (EDGE, {}),
    "limit_data": (EDGE, {"bytes": 250}),
    "down": (EDGE, {}),
    "http-status": (EDGE, {"route": "GET /*"}),
    "http-delay": (EDGE, {"delay": 400}),
    "http-garbage": (EDGE, {}),
}
WRONG: dict[str, dict[str, Any]] = {
    "kill": {"signal": 9},
    "stop": {"grace": -1},
    "pause": {"seconds": 3},
    "cpu": {"share": 1},
    "memory": {"headroom": -5},
    "latency": {"latency": 0},
    "bandwidth": {"rate": 0},
    "slicer": {"size_variation": 40, "average_size": 40},
    "slow_close": {"delay": -1},
    "timeout": {"timeout": -1},
    "reset_peer": {"timeout": "50ms"},
    "limit_data": {"bytes": 1.5},
    "down": {"stream": "upstream"},
    "http-status": {"status": 200},
    "http-delay": {"delay": 0},
    "http-garbage": {"route": "/"},
}


@dataclass
class Ground:
    """A running system of `web` and `api` with the wired edge between them.

    `attempt` plays a request of web to api and says whether the whole answer was there at once;
    `end` ends every process of api, behind the runtime's back.
    """

    runtime: Runtime
    keeper: LeaseKeeper
    attempt: Callable[[], Awaitable[bool]]
    end: Callable[[], Awaitable[None]]

    async def inject(self, fault: str, ttl: float = 30.0) -> dict[str, Any]:
        target, arguments = FAULTS[fault]
        return await self.keeper.inject(fault, target, arguments, ttl, "a-run")

    async def serves(self) -> bool:
        """Whether a request is answered, sooner or later: a busy machine may be too slow for the first ones."""
        for _ in range(100):
            if await self.attempt():
                return True
        return False

    async def exercised(self, lease: str) -> dict[str, Any]:
        """The evidence, once it holds or some seconds were not enough.

        Whoever met the fault may have left before a busy proxy heard of it: so others follow.
        """
        for number in range(1, 41):
            found: dict[str, Any] = next(each for each in self.keeper.leases() if each["id"] == lease)["exercised"]
            if found["holds"]:
                return found
            await asyncio.sleep(0.05)
            if number % 10 == 0:
                await self.attempt()
        return found


def processes(ground: Ground) -> list[ProcessId]:
    return list(ground.runtime.processes(SERVICE))


class FaultSuite:
    """Inherit it in a module that defines the fixture `ground`."""

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_a_fault_is_seen_in_force_then_met_then_undone(self, ground: Ground, fault: str) -> None:
        assert await ground.serves()
        lease = await ground.inject(fault)
        assert (lease["state"], lease["in_force"]["holds"]) == ("in-force", True), lease
        assert lease["in_force"]["facts"]
        assert not lease["exercised"]["holds"]
        assert not await ground.attempt()
        assert (await ground.exercised(lease["id"]))["holds"]
        (undone,) = await ground.keeper.undo(lease=lease["id"])
        assert (undone["state"], undone["undone"]["holds"]) == ("undone", True), undone
        assert undone["in_force"]["holds"]
        assert undone["exercised"]["holds"]
        assert await ground.serves()

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_a_fault_that_nobody_met_is_not_exercised(self, ground: Ground, fault: str) -> None:
        for _ in range(3):
            assert await ground.serves()
        lease = await ground.inject(fault)
        (undone,) = await ground.keeper.undo(run="a-run")
        assert undone["id"] == lease["id"]
        assert not undone["exercised"]["holds"], undone["exercised"]

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_who_met_an_earlier_fault_did_not_meet_this_one(self, ground: Ground, fault: str) -> None:
        earlier = await ground.inject(fault)
        assert not await ground.attempt()
        assert (await ground.exercised(earlier["id"]))["holds"]
        await ground.keeper.undo(lease=earlier["id"])
        assert await ground.serves()
        lease = await ground.inject(fault)
        (undone,) = await ground.keeper.undo(lease=lease["id"])
        assert not undone["exercised"]["holds"], undone["exercised"]

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_the_undo_is_idempotent(self, ground: Ground, fault: str) -> None:
        lease = await ground.inject(fault)
        first = await ground.keeper.undo(lease=lease["id"])
        assert await ground.keeper.undo(lease=lease["id"]) == first
        target, arguments = FAULTS[fault]
        never_injected = registry.FAULTS[fault](target, arguments)
        before = processes(ground)
        await never_injected.undo(ground.runtime)
        assert (await never_injected.undone(ground.runtime)).holds
        assert processes(ground) == before
        assert await ground.serves()

    @pytest.mark.parametrize("fault", FAULTS)
    async def test_wrong_arguments_break_nothing(self, ground: Ground, fault: str) -> None:
        with pytest.raises(InputError) as caught:
            await ground.keeper.inject(fault, FAULTS[fault][0], WRONG[fault], 30.0, "a-run")
        (problem,) = caught.value.problems
        assert problem.key == f"arguments.{next(iter(WRONG[fault]))}"
        assert problem.mend
        assert ground.keeper.leases() == []
        assert await ground.serves()

    @pytest.mark.parametrize("fault", [name for name, (target, _) in FAULTS.items() if target == SERVICE])
    async def test_a_target_without_a_process_is_refused(self, ground: Ground, fault: str) -> None:
        await ground.end()
        with pytest.raises(InputError, match="no process"):
            await ground.inject(fault)
        assert ground.keeper.leases() == []

    async def test_kill_leaves_no_process_of_the_tree(self, ground: Ground) -> None:
        before = processes(ground)
        lease = await ground.inject("kill")
        assert not any(procfs.alive(process) for process in before)
        assert set(lease["in_force"]["facts"]["processes"]) >= {str(process.pid) for process in before}

    async def test_pause_stops_every_process_of_the_tree_and_undo_wakes_the_same(self, ground: Ground) -> None:
        before = processes(ground)
        lease = await ground.inject("pause")
        assert {procfs.state(process) for process in before} == {"T"}
        await ground.keeper.undo(lease=lease["id"])
        assert processes(ground) == before
        assert "T" not in {procfs.state(process) for process in before}

    async def test_a_service_and_its_edge_can_be_broken_at_the_same_time(self, ground: Ground) -> None:
        await ground.inject("latency")
        await ground.inject("kill")
        assert [lease["state"] for lease in await ground.keeper.undo(all=True)] == ["undone", "undone"]
        assert await ground.serves()

    async def test_the_journal_tells_the_story_in_order(self, ground: Ground) -> None:
        lease = await ground.inject("kill")
        await ground.attempt()
        await ground.exercised(lease["id"])
        await ground.keeper.undo(all=True)
        journal = ground.keeper._journal.path
        assert [record.data["phase"] for record in read(journal).of("lease")] == [
            "intent",
            "in-force",
            "exercised",
            "undone",
        ]
