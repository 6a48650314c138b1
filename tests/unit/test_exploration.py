"""The oracle of an exploration on hand-made histories; what is explored; what is refused."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from histories import CONTROL, IN_FORCE, RELEASE, ROUTE, UNDONE, Entry, change, good, history, lease, replace, without

from gameday.catalogue import compose
from gameday.errors import InputError
from gameday.exploration import FAULTS, Draw, Exploration
from gameday.faults import registry
from gameday.judge import judge
from gameday.verdict import Finding, Verdict

ROOT = Path(__file__).parents[2]
Spoil = Callable[[list[Entry]], list[Entry]]


def explored(on_loss: str | None = "fallback") -> list[Entry]:
    """A pair of which everything is confirmed."""
    pair = {"suite": "exploration", "edge": "a->b:80", "fault": "down", "on_loss": on_loss, "timeout": 5.0}
    return change("run", **pair)(without("toolkit")(good()))


def users(entries: list[Entry]) -> Finding:
    (found,) = [each for each in judge(history(entries)).findings if each.check == "users"]
    return found


def during(data: dict[str, Any]) -> bool:
    return IN_FORCE + 2 <= data["intended_wall"] <= IN_FORCE + 2.1


def afterwards(data: dict[str, Any]) -> bool:
    return bool(data["intended_wall"] > UNDONE)


def test_a_pair_of_which_everything_is_confirmed_shows_what_the_fault_changed() -> None:
    result = judge(history(explored()))
    assert result.verdict is Verdict.CONFIRMED, result
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


def exploration(edges: tuple[str, ...] = (), faults: tuple[str, ...] = (), load: str | None = None) -> Exploration:
    return Exploration.of(compose.load([ROOT / "docker-compose.yml"], environment={}), edges, faults, load, 3.0)


def test_every_edge_and_fault_is_explored_under_the_load_of_most_routes_and_the_unused_are_named() -> None:
    whole = exploration()
    used = whole.edges[:2]
    assert [(pair.edge, pair.fault) for pair in whole.pairs(used)] == [
        (edge, fault) for edge in used for fault in FAULTS
    ]
    assert len(whole.pruned(used)) == len(whole.edges) - 2
    assert f"{whole.edges[2].name}:{whole.edges[2].port}: the load does not use it" in whole.pruned(used)
    assert len(whole.load.profile.routes) > 1


def test_what_is_explored_is_what_the_proxy_can_do() -> None:
    catalogue = compose.load([ROOT / "docker-compose.yml"], environment={})
    for fault, arguments in FAULTS.items():
        assert registry.problems(fault, "api-gateway->recommendation-svc:3001", arguments, catalogue) == []


def test_all_that_does_not_exist_is_named_at_once() -> None:
    with pytest.raises(InputError) as refused:
        exploration(("api-gateway->recomendation-svc",), ("delay",))
    said = [(each.key, each.value, each.mend) for each in refused.value.problems]
    assert [(key, value) for key, value, _ in said] == [
        ("--edge", "api-gateway->recomendation-svc"),
        ("--fault", "delay"),
    ]
    assert "did you mean api-gateway->recommendation-svc" in said[0][2]
    with pytest.raises(InputError, match="unknown load profile 'steady'"):
        exploration(load="steady")


def drawn(seed: int, used: int = 4, seconds: float = 60.0, count: int = 8) -> list[tuple[str, str]]:
    whole = dataclasses.replace(exploration(), draw=Draw(seed, seconds))
    return [(pair.target, pair.fault) for pair in itertools.islice(whole.pairs(whole.edges[:used]), count)]


def test_what_is_drawn_comes_again_by_its_seed() -> None:
    assert drawn(1) == drawn(1)
    assert len(drawn(1)) == 8
    assert drawn(1) != drawn(2)
    assert drawn(1, seconds=0.0) == []
    assert drawn(1, used=0) == []


def test_an_edge_that_is_not_used_this_time_changes_nothing_of_the_rest() -> None:
    fewer, more = drawn(3, used=3, count=20), drawn(3, used=4, count=40)
    targets = {target for target, _ in fewer}
    kept = [pair for pair in more if pair[0] in targets]
    assert len(targets) == 3
    assert len(kept) < 40
    assert kept[:20] == fewer[: len(kept[:20])]


def test_a_pair_that_is_drawn_again_has_a_place_of_its_own() -> None:
    whole = dataclasses.replace(exploration(), draw=Draw(1, 60.0))
    names = [pair.name for pair in itertools.islice(whole.pairs(whole.edges[:1]), 20)]
    assert len(set(names)) == 20
    assert names[0].startswith("001-")
