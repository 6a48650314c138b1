"""The kill matrix: what proves an alert, what is a finding, and what a waiver is worth."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import histories as h
import pytest

from gameday import alerts, killmatrix
from gameday.alerts.slos import Fallback, Slos, Waiver
from gameday.catalogue.compose import load
from gameday.journal import History, Journal
from gameday.verdict import Finding, Result, Verdict

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 27)
HOME = "HomepageUnavailable"
PREDICTED = {h.ALERT: 4.0}
KNOWN = {"recommendation-down": frozenset({h.ALERT})}
Spoil = Callable[[list[h.Entry]], list[h.Entry]]


def promised(*waivers: Waiver, **more: Any) -> Slos:
    """An alert of the SLO file, and what somebody answers for."""
    words = {"alert": h.ALERT, "summary": "s", "description": "d", **more}
    return Slos(
        fallback=(Fallback.model_validate({"edge": "a->b", "share": 10, "window": "2m", **words}),), waiver=waivers
    )


def judged(
    entries: list[h.Entry],
    *waivers: Waiver,
    predicted: Mapping[str, float] = PREDICTED,
    known: Mapping[str, frozenset[str]] = KNOWN,
) -> Result:
    matrix = killmatrix.read({"recommendation-down": h.history(entries)}, predicted)
    return killmatrix.judge(matrix, promised(*waivers), known, TODAY)


def of(result: Result, subject: str) -> Finding:
    return next(finding for finding in result.findings if finding.subject == subject)


def waiver(until: str, **subject: str) -> Waiver:
    return Waiver.model_validate(
        {**subject, "reason": "nobody minds", "owner": "us", "until": date.fromisoformat(until)}
    )


def changed(**data: Any) -> Spoil:
    """The lease of the run with other data."""
    return lambda entries: [
        (kind, {"phase": "undone", "lease": h.lease(**data)}) if kind == "lease" else (kind, entry)
        for kind, entry in entries
    ]


def test_an_alert_is_proven_by_a_fault_it_hears_in_the_time_predicted() -> None:
    result = judged(h.good())
    assert result.verdict is Verdict.CONFIRMED
    proof = of(result, f"alert {h.ALERT}").observed
    assert proof == "kill recommendation-svc: 4s (predicted 4s, ratio 1.00), resolved after 8s"
    assert of(result, "experiment recommendation-down").observed == f"{h.ALERT} after 4s"
    row = result.facts["kill_matrix"]["experiments"][0]
    assert row["alerts"] == {h.ALERT: {"heard": "fired", "fires_s": 4.0, "resolves_s": 8.0}}


def test_what_the_fault_before_fired_is_not_held_against_an_alert_once_it_was_seen_silent() -> None:
    """A control window may begin while the alert of the run before has still to resolve."""
    fading = [*h.good(), h.firing(h.CONTROL + 5)]
    (kind, run), *rest = fading
    heard = {}
    for quiet in (h.CONTROL + 6, h.CONTROL + 4):
        matrix = killmatrix.read({"x": h.history([(kind, {**run, "quiet_wall": quiet}), *rest])}, PREDICTED)
        heard[quiet - h.CONTROL] = matrix.rows[0].cells[h.ALERT].heard
    assert heard == {6: "fired", 4: "restless"}


@pytest.mark.parametrize(
    ("spoil", "verdict", "words"),
    [
        (h.without("alert"), Verdict.REFUTED, "slept through recommendation-down"),
        (h.without("alert", lambda data: data["status"] == "resolved"), Verdict.REFUTED, "did not resolve"),
        (lambda entries: [*entries, h.firing(h.CONTROL + 5)], Verdict.INCONCLUSIVE, "was firing"),
        (h.without("scrape", lambda data: 1003 < data["wall"] < 1008), Verdict.INCONCLUSIVE, "scraped nothing"),
        (h.without("lease"), Verdict.INCONCLUSIVE, "a window is missing"),
        (changed(exercised={"holds": False, "facts": {}}), Verdict.INCONCLUSIVE, "was met"),
    ],
)
def test_what_is_not_a_proof_of_an_alert(spoil: Spoil, verdict: Verdict, words: str) -> None:
    entries = spoil(h.good())
    if words.startswith("slept"):
        entries = h.without("alert_state")(entries)
    finding = of(judged(entries), f"alert {h.ALERT}")
    assert finding.verdict is verdict
    assert words in f"{finding.observed} {finding.detail}"


def test_an_alert_that_fires_and_is_not_delivered_is_not_proven() -> None:
    finding = of(judged(h.without("alert")(h.good())), f"alert {h.ALERT}")
    assert (finding.verdict, "not delivered" in finding.detail) == (Verdict.INCONCLUSIVE, True)


def test_an_alert_that_no_experiment_expects_is_a_finding_and_one_that_was_left_out_is_not_green() -> None:
    predicted = {h.ALERT: 4.0, "Forgotten": 1.0, "Elsewhere": 1.0}
    result = judged(h.good(), predicted=predicted, known={**KNOWN, "other": frozenset({"Elsewhere"})})
    assert of(result, "alert Forgotten").verdict is Verdict.REFUTED
    assert of(result, "alert Elsewhere").verdict is Verdict.INCONCLUSIVE
    assert "run other" in of(result, "alert Elsewhere").detail


def test_a_fault_that_no_alert_hears_is_a_finding() -> None:
    quiet = h.without("alert_state")(h.without("alert")(h.good()))
    assert of(judged(quiet), "experiment recommendation-down").verdict is Verdict.REFUTED


def test_a_waiver_is_told_and_never_green() -> None:
    quiet = h.without("alert_state")(h.without("alert")(h.good()))
    asleep = waiver("2026-11-27", alert=h.ALERT)
    result = judged(quiet, waiver("2026-11-27", experiment="recommendation-down"), asleep)
    assert result.findings == ()
    assert result.verdict is Verdict.INCONCLUSIVE
    assert len(result.facts["waived"]) == 2
    assert "until 2026-11-27 us says: nobody minds" in result.facts["waived"][0]


def test_a_waiver_ends_and_one_that_is_not_needed_is_told() -> None:
    quiet = h.without("alert_state")(h.without("alert")(h.good()))
    ended = of(judged(quiet, waiver("2026-11-26", alert=h.ALERT)), f"alert {h.ALERT}")
    assert (ended.verdict, "ended on 2026-11-26" in ended.detail) == (Verdict.REFUTED, True)
    idle = of(judged(h.good(), waiver("2026-11-27", alert=h.ALERT)), f"alert {h.ALERT}")
    assert (idle.verdict, "remove it" in idle.detail) == (Verdict.CONFIRMED, True)


def test_a_waiver_does_not_stand_for_what_nobody_knows() -> None:
    finding = of(judged(h.without("lease")(h.good()), waiver("2027-01-01", alert=h.ALERT)), f"alert {h.ALERT}")
    assert finding.verdict is Verdict.INCONCLUSIVE


def test_no_experiment_proves_nothing() -> None:
    result = killmatrix.judge(killmatrix.read({}, PREDICTED), promised(), KNOWN, TODAY)
    assert result.verdict is Verdict.INCONCLUSIVE


def test_an_alert_for_a_gate_of_all_experiments_is_no_finding_where_those_that_it_hears_were_left_out() -> None:
    seldom = promised(gate=False)
    assert seldom.seldom == {h.ALERT} and not promised().seldom

    def findings(entries: list[h.Entry], known: Mapping[str, frozenset[str]], experiment: str) -> list[Finding]:
        matrix = killmatrix.read({experiment: h.history(entries)}, PREDICTED)
        judged = killmatrix.judge(matrix, seldom, known, TODAY)
        return [finding for finding in judged.findings if finding.subject == f"alert {h.ALERT}"]

    quiet = h.without("alert_state")(h.without("alert")(h.good()))
    silent = h.change("run", expect={})(quiet)
    assert findings(silent, {"other": frozenset({h.ALERT})}, "another") == []
    (unknown,) = findings(silent, {"other": frozenset()}, "another")
    assert (unknown.verdict, unknown.observed) == (Verdict.REFUTED, "nothing fires it: no experiment expects it to")
    (slept,) = findings(quiet, KNOWN, "recommendation-down")
    assert slept.verdict is Verdict.REFUTED and "slept through" in slept.observed


def test_histories_are_found_below_a_gate_and_other_runs_are_passed_over(tmp_path: Path) -> None:
    written = {"20261127-a": h.good(), "20261127-load": [("run", {"suite": "load", "time_scale": 5.0})]}
    for name, entries in written.items():
        (tmp_path / name).mkdir()
        journal = Journal(tmp_path / name / "journal.jsonl")
        for kind, data in entries:
            journal.append(kind, **data)
        journal.close()
    found: Mapping[str, History] = killmatrix.experiments([tmp_path])
    assert list(found) == ["recommendation-down"]
    assert killmatrix.time_scales(found) == {30.0}


def test_the_quickest_arm_and_the_delivery_make_the_prediction() -> None:
    catalogue = load([ROOT / "docker-compose.yml"], environment={})
    slos: Slos = alerts.promised(catalogue)
    production, scaled = alerts.detection(slos, 1.0), alerts.detection(slos, 30.0)
    # 14.4 of a budget of 0.1 % of an hour, then a scrape, an evaluation and a grouping at worst.
    assert production[HOME] == pytest.approx(14.4 * 0.001 * 3600 + 15 + 15 + 10)
    # A tenth of two minutes, 15 s `for`.
    assert production[h.ALERT] == pytest.approx(12 + 15 + 40)
    assert all(scaled[name] < production[name] for name in production)


def test_facts_are_what_a_file_can_hold() -> None:
    assert json.loads(json.dumps(judged(h.good()).facts)) == judged(h.good()).facts
