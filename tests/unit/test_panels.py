"""The check `panels`, and the proof of dashboards, on histories made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import histories as h
import pytest

from gameday import agenda, dashboards, suites
from gameday.catalogue import compose
from gameday.checks import SPOKEN
from gameday.checks.panels import check
from gameday.checks.view import View
from gameday.dashboards import Boards, proof, shown
from gameday.dashboards import board as boards
from gameday.durations import TimeScale
from gameday.expectations import Panel
from gameday.verdict import Finding, Result, Verdict

Spoil = Callable[[list[h.Entry]], list[h.Entry]]
LENGTH = int(h.END - h.CONTROL) + 1
# A breaker that is open under the fault: seconds 12 to 23.
OPEN = [2.0 if h.OPENED <= h.CONTROL + second < h.CLOSED else 0.0 for second in range(LENGTH)]
CLOSED = [0.0] * LENGTH
BREAKER = Panel(board="small", panel="Breakers", moves="up")


def drawn(*series: tuple[str, Sequence[float | None]], reach: float = 1.0, **changes: Any) -> h.Entry:
    data = {
        "board": "small",
        "panel": "Breakers",
        "expr": "circuit_breaker_state",
        "reach": reach,
        "start": h.CONTROL,
        "step": 1.0,
        "series": [{"name": name, "values": list(values)} for name, values in series],
        "error": None,
    }
    return "panel", data | changes


def judged(*panels: h.Entry, expectation: Panel = BREAKER, spoil: Spoil = list) -> Finding:
    return check(h.history(spoil([*h.good(), *panels])), expectation, TimeScale(30))


def test_a_panel_moves_under_the_fault() -> None:
    finding = judged(drawn(("a->b", OPEN), ("a->c", CLOSED)))
    assert finding.verdict is Verdict.CONFIRMED
    assert finding.observed == "a->b from 0 to 2 over 12 samples"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"moves": "down"}, "it did not move"),
        ({"series": "a->c"}, "it did not move"),
    ],
)
def test_another_direction_or_series_is_refuted(change: dict[str, Any], told: str) -> None:
    finding = judged(drawn(("a->b", OPEN), ("a->c", CLOSED)), expectation=BREAKER.model_copy(update=change))
    assert (finding.verdict, finding.observed) == (Verdict.REFUTED, told)


def test_a_query_that_looks_back_has_to_move_for_longer() -> None:
    """One event is seen three times in a rate over four scrapes; the first of a control tell of what was before."""
    once = [0.25 if 12 <= second < 16 else 0.0 for second in range(LENGTH)]
    thrice = [0.25 if 12 <= second < 18 else 0.0 for second in range(LENGTH)]
    long = h.change("window", lambda data: data["window"] == "control" and data["edge"] == "start", wall=h.CONTROL - 4)
    for values, verdict in ((once, Verdict.REFUTED), (thrice, Verdict.CONFIRMED)):
        early = drawn(("errors", [5.0] * 4 + values), reach=4.0, start=h.CONTROL - 4)
        assert judged(early, spoil=long).verdict is verdict


@pytest.mark.parametrize(
    ("panels", "spoil", "told"),
    [
        ([], list, "the panel was empty"),
        ([drawn()], list, "the panel was empty"),
        ([drawn(error="parse error")], list, "parse error"),
        ([drawn(("x", OPEN))], h.without("window", lambda data: data["window"] == "recovery"), ""),
        ([drawn(("x", [None] * LENGTH))], list, "fewer than 6 samples in the control window"),
        ([drawn(("x", [0.0] * 11 + [None] * (LENGTH - 11)))], list, "too few samples under the fault"),
        ([drawn(("x", [0.0] * 6 + [3.0] * (LENGTH - 6)))], list, "it moves up without a fault"),
        ([drawn(("x", OPEN))], h.without("window", lambda data: data["window"] == "control"), "a window is missing"),
    ],
)
def test_no_data_is_never_green(panels: list[h.Entry], spoil: Spoil, told: str) -> None:
    finding = judged(*panels, spoil=spoil)
    expected = Verdict.INCONCLUSIVE if told else Verdict.CONFIRMED
    assert finding.verdict is expected and finding.detail.startswith(told)


def test_a_series_that_is_not_there_is_told() -> None:
    finding = judged(drawn(("a->b", OPEN)), expectation=BREAKER.model_copy(update={"series": "a->x"}))
    assert (finding.verdict, finding.detail) == (Verdict.INCONCLUSIVE, "no such series")


def test_a_window_waits_for_scrapes_enough() -> None:
    for window, start in (("control", h.CONTROL), ("fault", h.IN_FORCE)):
        few = h.without("scrape", lambda data, start=start: not start <= data["wall"] < start + 9)
        assert SPOKEN["panels"](View(h.history(h.good())), BREAKER, window)
        assert not SPOKEN["panels"](View(h.history(few(h.good()))), BREAKER, window)


BOARD = """\
uid: small
title: Small
description: d
rows:
  - title: Row
    panels:
      - id: 1
        title: Breakers
        description: d
        kind: timeseries
        unit: none
        width: 12
        thresholds: [{color: green}]
        moved_by: {experiment: recommendation-down, moves: up, series: a->b}
        queries:
          - {expr: circuit_breaker_state, legend: '{{edge}}'}
"""
DECLARED = "        moved_by: {experiment: recommendation-down, moves: up, series: a->b}\n"


def proven(tmp_path: Path, source: str, *panels: h.Entry, spoil: Spoil = list, runs: int = 2) -> Result:
    """From `runs` of one load; the first is recommendation-down."""
    path = tmp_path / "small.yaml"
    path.write_text(source)
    board = boards.read(path)
    names = ["recommendation-down", *(f"other-{number}" for number in range(runs - 1))]
    histories = {name: h.history(spoil([*h.good(), *panels])) for name in names}
    read = proof.read(histories, Boards([board], list(shown.of(board))))
    return proof.judge(read, {"recommendation-down", "not-run"})


def of_panel(result: Result) -> Finding:
    return next(finding for finding in result.findings if finding.subject == "small: Breakers")


def test_a_panel_is_proven_by_the_experiment_that_it_names(tmp_path: Path) -> None:
    result = proven(tmp_path, BOARD, drawn(("a->b", OPEN), ("a->c", CLOSED)))
    assert result.verdict is Verdict.CONFIRMED
    observed = of_panel(result).observed
    assert observed.startswith("2 series, 44 numbers without a fault; recommendation-down: a->b from 0 to 2 over 12")
    assert observed.endswith("up in recommendation-down, other-0")
    assert result.facts[proof.FACT]["panels"][0]["experiments"]["recommendation-down"]["up"] == ["a->b"]


@pytest.mark.parametrize(
    ("source", "panel", "verdict", "told"),
    [
        (BOARD, drawn(("a->b", CLOSED)), Verdict.REFUTED, "recommendation-down did not move a->b it up"),
        (BOARD.replace("moves: up", "moves: down"), drawn(("a->b", OPEN)), Verdict.REFUTED, "did not move"),
        (BOARD, drawn(("a->b", [None] * LENGTH)), Verdict.REFUTED, "empty without a fault: circuit_breaker_state"),
        (BOARD, drawn(), Verdict.REFUTED, "empty without a fault"),
        (BOARD, drawn(error="parse error"), Verdict.INCONCLUSIVE, "parse error"),
        (BOARD, drawn(("x", CLOSED), panel="Another"), Verdict.INCONCLUSIVE, "no run kept anything of it"),
        (BOARD.replace("recommendation-down", "not-run"), drawn(("a->b", OPEN)), Verdict.INCONCLUSIVE, "was not run"),
        (
            BOARD.replace("recommendation-down", "nobody"),
            drawn(("a->b", OPEN)),
            Verdict.REFUTED,
            "no experiment nobody",
        ),
        (BOARD.replace(DECLARED, ""), drawn(("a->b", CLOSED)), Verdict.REFUTED, "nothing moves it"),
        (BOARD.replace(DECLARED, ""), drawn(("a->b", OPEN)), Verdict.CONFIRMED, ""),
        (BOARD.replace(DECLARED, "        static: s\n"), drawn(("a->b", CLOSED)), Verdict.CONFIRMED, ""),
        (BOARD.replace(DECLARED, "        static: s\n"), drawn(), Verdict.REFUTED, "empty without a fault"),
    ],
)
def test_empty_and_dead_panels_are_findings(
    tmp_path: Path, source: str, panel: h.Entry, verdict: Verdict, told: str
) -> None:
    finding = of_panel(proven(tmp_path, source, panel))
    assert finding.verdict is verdict and told in finding.detail


def test_a_run_whose_fault_nobody_met_proves_nothing(tmp_path: Path) -> None:
    unmet = h.leases(h.lease(exercised={"holds": False, "facts": {}}))
    finding = of_panel(proven(tmp_path, BOARD, drawn(("a->b", OPEN)), spoil=unmet))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "it is not shown that the fault was in force" in finding.detail


def stillness(result: Result) -> Finding:
    return next(finding for finding in result.findings if finding.subject == "false positives")


def test_the_share_of_false_movements_is_told_with_its_n(tmp_path: Path) -> None:
    calm = stillness(proven(tmp_path, BOARD, drawn(("a->b", OPEN)), runs=3))
    assert (calm.verdict, calm.observed, calm.n) == (Verdict.CONFIRMED, "0 of 6 (0.0%)", 6)
    alone = stillness(proven(tmp_path, BOARD, drawn(("a->b", OPEN)), runs=1))
    assert (alone.verdict, alone.observed) == (Verdict.INCONCLUSIVE, "no two control windows of one load")


def test_control_windows_that_move_against_each_other_make_movements_worth_little(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(BOARD)
    board = boards.read(path)
    high = [value + 3 for value in OPEN]
    histories = {
        name: h.history([*h.good(), drawn(("a->b", values))])
        for name, values in (("recommendation-down", OPEN), ("later", high))
    }
    finding = stillness(proof.judge(proof.read(histories, Boards([board], list(shown.of(board)))), ["later"]))
    assert (finding.verdict, finding.observed) == (Verdict.INCONCLUSIVE, "1 of 2 (50.0%)")
    assert finding.detail == "small: Breakers: 1"


def test_windows_of_different_loads_are_not_compared(tmp_path: Path) -> None:
    loads = iter("abc")

    def spoil(entries: list[h.Entry]) -> list[h.Entry]:
        return h.change("run", load=next(loads))(entries)

    assert stillness(proven(tmp_path, BOARD, drawn(("a->b", OPEN)), spoil=spoil)).n == 0


def test_the_boards_are_proven_where_somebody_asks_for_it() -> None:
    root = Path(__file__).parents[2]
    catalogue = compose.load([root / "docker-compose.yml"], environment={})

    def planned(named: bool, everything: bool) -> agenda.Agenda:
        return agenda.plan(suites.choose(["dashboards"] if named else ()), catalogue, named, everything, None)

    ordinary = planned(False, False)
    assert "dashboards" not in ordinary.suites
    assert not ordinary.boards.queries
    assert any("dashboards: panels need longer windows" in told for told in ordinary.left_out)
    for plan in (planned(True, False), planned(False, True)):
        assert plan.suites[-1] == "dashboards"
        assert plan.boards.moved


def test_each_panel_of_the_reference_system_says_what_moves_it() -> None:
    root = Path(__file__).parents[2]
    experiments = {path.stem for path in (root / "experiments").glob("*.yaml")}
    for board in dashboards.read_all(root / "dashboards"):
        for panel in board.panels:
            assert bool(panel.moved_by) != bool(panel.static), (board.uid, panel.title)
            assert panel.moved_by is None or panel.moved_by.experiment in experiments, panel.title
