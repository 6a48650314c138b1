"""The oracle of an exploration on hand-made histories; what is explored; what is refused."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from histories import (
    CONTROL,
    IN_FORCE,
    RELEASE,
    ROUTE,
    UNDONE,
    Entry,
    change,
    good,
    history,
    lease,
    leases,
    replace,
    request,
    without,
)

from gameday.cases import EDGE_FAULTS, Case, Pairs, Use
from gameday.catalogue import Catalogue, compose
from gameday.durations import TimeScale
from gameday.errors import InputError
from gameday.exploration import Exploration, Explorer
from gameday.faults import registry
from gameday.footprints import Footprints
from gameday.judge import judge
from gameday.progress import Progress
from gameday.state import State
from gameday.verdict import Finding, Result, Verdict

ROOT = Path(__file__).parents[2]
Spoil = Callable[[list[Entry]], list[Entry]]


def explored(on_loss: str | None = "fallback") -> list[Entry]:
    """A case of which everything is confirmed."""
    case = {"suite": "exploration", "on_loss": on_loss, "timeout": 5.0}
    return change("run", **case)(without("toolkit")(good()))


def users(entries: list[Entry]) -> Finding:
    (found,) = [each for each in judge(history(entries)).findings if each.check == "users"]
    return found


def during(data: dict[str, Any]) -> bool:
    return IN_FORCE + 2 <= data["intended_wall"] <= IN_FORCE + 2.1


def afterwards(data: dict[str, Any]) -> bool:
    return bool(data["intended_wall"] > UNDONE)


def test_a_case_of_which_everything_is_confirmed_shows_what_the_fault_changed() -> None:
    result = judge(history(explored()))
    assert result.verdict is Verdict.CONFIRMED, "; ".join(each.detail for each in result.findings)
    found = users(explored())
    assert found.subject == ROUTE
    assert found.n == len(
        [1 for kind, data in good() if kind == "request" and IN_FORCE <= data["intended_wall"] <= RELEASE]
    )
    assert f"{found.n} x 200" in found.observed
    assert f"recommendations.source: {found.n} x 'fallback'" in found.observed


@pytest.mark.parametrize(
    ("spoil", "verdict", "told"),
    [
        (change("request", during, status=None, error="timeout", ms=5000.0), Verdict.REFUTED, "no answer after 5s"),
        (change("request", during, status=None, error="reset", ms=3.0), Verdict.REFUTED, "no answer: reset"),
        (change("request", during, status=500), Verdict.REFUTED, "a crash (status 500)"),
        (change("request", during, json=None), Verdict.REFUTED, "a malformed answer (status 200, no JSON)"),
        (
            change("request", during, status=503),
            Verdict.REFUTED,
            "status 503, although its loss is declared as fallback",
        ),
        (change("request", afterwards, status=503), Verdict.REFUTED, "not back after the fault: status 503"),
        (
            change("request", afterwards, json={"recommendations.source": "fallback"}),
            Verdict.REFUTED,
            "not back after the fault: recommendations.source is still 'fallback'",
        ),
        (without("request", afterwards), Verdict.INCONCLUSIVE, "requests after the fault; 5 are needed"),
        (
            without("request", lambda data: IN_FORCE <= data["intended_wall"] <= RELEASE),
            Verdict.INCONCLUSIVE,
            "0 during the fault",
        ),
        (
            without("request", lambda data: CONTROL <= data["intended_wall"] < IN_FORCE),
            Verdict.INCONCLUSIVE,
            "0 requests before",
        ),
    ],
)
def test_what_users_would_complain_of_is_refuted_and_what_nobody_saw_is_inconclusive(
    spoil: Spoil, verdict: Verdict, told: str
) -> None:
    found = users(spoil(explored()))
    assert found.verdict is verdict
    assert told in found.detail


def test_a_clean_error_is_fine_where_nothing_better_is_declared() -> None:
    assert users(change("request", during, status=503)(explored(None))).verdict is Verdict.CONFIRMED
    assert users(change("request", during, status=503)(explored("clean-error"))).verdict is Verdict.CONFIRMED


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"exercised": {"holds": False, "facts": {"met": 0}}}, Verdict.NOT_INJECTED),
        ({"in_force": {"holds": False, "facts": {}}, "in_force_wall": None}, Verdict.NOT_INJECTED),
        ({"state": "leaked", "undone": {"holds": False, "facts": {}}}, Verdict.LEAKED),
    ],
)
def test_a_fault_that_was_not_there_or_not_undone_is_never_a_pass(changes: Any, verdict: Verdict) -> None:
    spoilt = replace(("lease", {"phase": "undone", "lease": lease(**changes)}))(explored())
    assert judge(history(spoilt)).verdict is verdict


def test_no_load_is_no_pass() -> None:
    assert judge(history(without("request")(explored()))).verdict is Verdict.INCONCLUSIVE


@cache
def whole() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment={})


def exploration(
    edges: tuple[str, ...] = (), faults: tuple[str, ...] = (), load: str | None = None, **more: Any
) -> Exploration:
    return Exploration.of(whole(), edges, faults, load, 3.0, **more)


def test_every_edge_and_fault_is_explored_under_the_load_of_most_routes_and_the_unused_are_named() -> None:
    every = exploration()
    edges = list(dict.fromkeys(edge for each in every.breaks for edge in each.edges))
    use = Use(edges[:2], Footprints())
    assert [case.title for case in every.cases(use)] == [
        f"{fault} on {edge.name}:{edge.port}" for edge in use.edges for fault in EDGE_FAULTS
    ]
    assert len(every.left_out(use)) == len(edges) - 2
    assert f"{edges[2].name}:{edges[2].port}: the load does not use it" in every.left_out(use)
    assert len(every.load.profile.routes) > 1


def test_what_is_explored_is_what_can_be_broken() -> None:
    for each in exploration(services=()).breaks:
        assert registry.problems(each.fault, each.target, each.arguments, whole()) == []


def test_all_that_does_not_exist_is_named_at_once() -> None:
    with pytest.raises(InputError) as refused:
        exploration(("api-gateway->recomendation-svc",), ("delay",), "steady")
    said = [(each.key, each.value, each.mend) for each in refused.value.problems]
    assert {(key, value) for key, value, _ in said} == {
        ("--edge", "api-gateway->recomendation-svc"),
        ("--fault", "delay"),
        (None, "steady"),
    }
    assert any("did you mean api-gateway->recommendation-svc" in mend for *_, mend in said)
    with pytest.raises(InputError, match="no fault 'kill'"):
        exploration(faults=("kill",))


def test_services_are_broken_where_somebody_asks_for_it_and_something_could_guard_them() -> None:
    targets = {each.target for each in exploration(services=()).breaks}
    assert {"recommendation-svc", "api-gateway->recommendation-svc:3001"} <= targets
    assert "api-gateway: the load asks it itself, and nothing stands before it" in exploration(services=()).unfit
    assert not targets & {"api-gateway", "ai-worker"}
    assert {each.target for each in exploration(services=("search-svc",)).breaks} == {"search-svc"}
    assert "search-svc" not in {each.target for each in exploration(("api-gateway->search-svc",), services=()).breaks}
    with pytest.raises(InputError, match="the load asks it itself") as refused:
        exploration(services=("api-gateway", "serch-svc"))
    assert refused.value.problems[1].mend.startswith("did you mean search-svc")


def together(**alone: Any) -> dict[str, Any]:
    return dict(judge(history(change("run", alone=alone)(explored()))).facts)


def test_what_users_saw_under_neither_fault_alone_is_told() -> None:
    fallback = "recommendations.source: 'fallback'"
    assert together(a={ROUTE: ["status 200"]}, b={ROUTE: ["status 200"]})["only_together"] == {ROUTE: [fallback]}
    assert together(a={ROUTE: ["status 200"]}, b={ROUTE: [fallback]})["only_together"] == {}


def test_where_a_fault_alone_showed_nothing_certain_nothing_is_compared() -> None:
    facts = together(a={ROUTE: ["status 200"]}, b=None)
    assert facts["not_compared"] == ["b"]
    assert "only_together" not in facts


def test_what_was_in_force_when_is_told() -> None:
    (held,) = together()["in_force"]
    assert held == {"fault": "kill", "target": "recommendation-svc", "from": IN_FORCE, "to": UNDONE}


def test_of_two_faults_each_must_be_in_force_and_met() -> None:
    one, other = lease(id="down-1", fault="down", target="a->b:80"), lease(id="down-2", fault="down", target="a->c:80")
    both = leases(one, other)(explored())
    assert judge(history(both)).verdict is Verdict.CONFIRMED
    unmet = leases(one, other | {"exercised": {"holds": False, "facts": {}}})(explored())
    assert judge(history(unmet)).verdict is Verdict.NOT_INJECTED


class Broken:
    """A system with one route, whose supervisor holds leases; its users get a fallback while there is one."""

    alive = True
    prometheus = jaeger = None

    def __init__(self, state: Path) -> None:
        self.catalogue = whole()
        self.control, self.state, self.scale, self.status = self, State(state), TimeScale(30), {}
        self.told, self.held, self.interrupts = time.time(), dict[str, Any](), False

    def events(self) -> Iterator[dict[str, Any]]:
        if self.held and self.interrupts:
            raise KeyboardInterrupt
        broken = any(each["state"] == "in-force" for each in self.held.values())
        while self.told < time.time() - 0.005:
            self.told += 0.005
            json = {"recommendations.source": "fallback" if broken else "model"}
            yield {"kind": "request", **request(self.told, json=json)[1], "oldest_wall": None}

    def call(self, op: str, *, run: str = "", fault: str = "", target: str = "", **_: Any) -> list[Any]:
        if op == "inject":
            told = {"id": target, "run": run, "fault": fault, "target": target, "state": "in-force"}
            self.held[target] = lease(**told, in_force_wall=time.time(), undone_wall=None, undone={"holds": False})
        return list(self.held.values())

    def undo(self, run: str) -> None:
        for each in self.held.values():
            if each["run"] == run and each["state"] == "in-force":
                each |= {"state": "undone", "undone_wall": time.time(), "undone": {"holds": True}}

    def require_whole(self) -> None:
        assert all(each["state"] == "undone" for each in self.held.values())


@pytest.fixture
def explorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Broken, Explorer]:
    world = Broken(tmp_path / "state")
    monkeypatch.setattr("gameday.exploration.plan", lambda *_: None)
    monkeypatch.setattr("gameday.exploration.experiment.check", lambda *_: [])
    monkeypatch.setattr("gameday.exploration.LoadChild", lambda *_: world)
    broken = exploration(("api-gateway->recommendation-svc", "api-gateway->search-svc"), ("latency",))
    wanted = dataclasses.replace(broken, hold=0.0, order=Pairs(1, 1))
    return world, Explorer(world, wanted, tmp_path / "out", Progress())  # type: ignore[arg-type]


def cases(explored: Explorer) -> list[Case]:
    wanted = explored._exploration
    return list(wanted.cases(Use([edge for each in wanted.breaks for edge in each.edges], Footprints())))


def test_two_faults_are_in_force_at_once_and_compared_with_each_alone(explorer: tuple[Broken, Explorer]) -> None:
    world, explores = explorer
    *alone, pair = cases(explores)
    for case in alone:
        world.held.clear()
        assert (result := explores.explore(case)).verdict is Verdict.CONFIRMED, result.findings
    world.held.clear()
    result = explores.explore(pair)
    assert result.verdict is Verdict.CONFIRMED, "; ".join(each.detail for each in result.findings)
    one, other = result.facts["in_force"]
    assert one["target"] != other["target"]
    assert max(one["from"], other["from"]) < min(one["to"], other["to"])
    assert result.facts["only_together"] == {}


def test_a_pair_is_not_compared_with_a_fault_that_showed_nothing(explorer: tuple[Broken, Explorer]) -> None:
    world, explores = explorer
    one, _, pair = cases(explores)
    world.interrupts = True
    with pytest.raises(KeyboardInterrupt):
        explores.explore(one)
    explores._alone[pair.breaks[1]] = {}
    described = explores._describe(pair, "r")
    assert described["alone"] == {pair.breaks[0].title: None, pair.breaks[1].title: {}}


def test_ctrl_c_undoes_all_that_is_in_force(explorer: tuple[Broken, Explorer]) -> None:
    world, explores = explorer
    world.interrupts = True
    with pytest.raises(KeyboardInterrupt):
        explores.explore(cases(explores)[-1])
    assert [each["state"] for each in world.held.values()] == ["undone", "undone"]


@pytest.mark.parametrize(
    ("verdicts", "certain"),
    [
        ([Verdict.CONFIRMED, Verdict.REFUTED], True),
        ([Verdict.REFUTED, Verdict.INCONCLUSIVE], False),
        ([Verdict.CONFIRMED, Verdict.NOT_INJECTED], False),
        ([], False),
    ],
)
def test_a_refuted_case_may_hold_what_nobody_knows_and_is_not_compared(verdicts: list[Verdict], certain: bool) -> None:
    findings = [Finding(check="users", subject="r", verdict=each, expected="e", observed="o") for each in verdicts]
    assert Result(suite="exploration", name="n", title="t", findings=tuple(findings)).certain is certain
