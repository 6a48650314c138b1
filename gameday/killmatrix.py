"""The kill matrix: which alert heard which fault, read from the histories of experiments.

An alert is proven by one fault under which it was delivered and after which it resolved, while it was silent
without a fault. An alert that nothing fires and a fault that no alert hears are findings, unless somebody answers
for them until a day that is still to come: a waiver is told, and is never green.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from gameday.alerts.slos import Slos
from gameday.checks import alerts as checker
from gameday.checks import evidence
from gameday.checks.view import Span, View, gap
from gameday.durations import text
from gameday.expectations import Alert, Expect
from gameday.journal import History
from gameday.judge import JOURNAL
from gameday.judge import read as read_history
from gameday.verdict import Finding, Result, Verdict
from gameday.waiver import WAIVED

NAME = "kill-matrix"
FACT = "kill_matrix"
# `unknown`: the history does not say; `restless`: it fired without the fault, so that under it nothing is proven.
Heard = Literal["fired", "silent", "restless", "unknown"]


@dataclass(frozen=True)
class Cell:
    """What one alert did under one fault. Seconds: `fires` after the fault was in force, `resolves` after the undo."""

    heard: Heard
    fires: float | None = None
    resolves: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Row:
    """One experiment: its faults as `kill search-svc`, and what each alert did."""

    experiment: str
    faults: Sequence[str]
    expected: frozenset[str]
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class KillMatrix:
    """`predicted` are seconds from a total loss to the notification, by alert (`alerts/prediction.py`)."""

    alerts: Sequence[str]
    rows: Sequence[Row]
    predicted: Mapping[str, float]

    def facts(self) -> dict[str, Any]:
        """As `verdict.json` holds it."""
        return {
            "alerts": [{"alert": name, "predicted_s": _round(self.predicted.get(name))} for name in self.alerts],
            "experiments": [
                {
                    "experiment": row.experiment,
                    "faults": list(row.faults),
                    "alerts": {
                        name: {"heard": cell.heard, "fires_s": _round(cell.fires), "resolves_s": _round(cell.resolves)}
                        for name, cell in row.cells.items()
                    },
                }
                for row in self.rows
            ],
        }


def read(histories: Mapping[str, History], predicted: Mapping[str, float]) -> KillMatrix:
    """`histories` by experiment; the alerts are those of `predicted`."""
    names = tuple(predicted)
    rows = [_row(name, View(history), names) for name, history in histories.items()]
    return KillMatrix(names, rows, predicted)


def judge(matrix: KillMatrix, slos: Slos, known: Mapping[str, frozenset[str]], today: date) -> Result:
    """`known`: the alerts that each experiment there is expects to fire. What was waived stands in the facts."""
    waived = {waiver.subject: waiver for waiver in slos.waiver}
    findings: list[Finding] = []
    told: list[str] = []
    for finding in (*_alerts(matrix, slos.seldom, known), *_faults(matrix)):
        waiver = waived.pop(finding.subject, None)
        if waiver and waiver.excuses(finding, today):
            told.append(waiver.told(f"{finding.subject}: {finding.observed}"))
        else:
            findings.append(waiver.useless(finding, today) if waiver else finding)
    title = "Each alert was seen to fire, and each fault was heard"
    facts = {FACT: matrix.facts(), WAIVED: told}
    return Result(suite="alerts", name=NAME, title=title, findings=tuple(findings), facts=facts)


def experiments(directories: Iterable[Path]) -> Mapping[str, History]:
    """The histories of experiments in and below `directories`, by experiment; of several the last."""
    found: dict[str, History] = {}
    journals = {path for directory in directories for path in directory.rglob(JOURNAL)}
    for path in sorted(journals, key=lambda path: path.parent.name):
        history = read_history(path.parent)
        run = View(history).run
        if run.get("suite") == "experiments":
            found[str(run["experiment"])] = history
    return found


def time_scales(histories: Mapping[str, History]) -> set[float]:
    return {View(history).scale.factor for history in histories.values()}


def _row(name: str, view: View, names: Sequence[str]) -> Row:
    faults = [f"{lease['fault']} {lease['target']}" for lease in view.leases]
    try:
        expect = Expect.model_validate(view.run.get("expect"))
    except ValueError:
        expect = Expect.model_construct()
    expected = frozenset(each.name for each in expect.alerts if not each.silent)
    unsure = doubt(view)
    cells = {alert: Cell("unknown", why=unsure) if unsure else _cell(view, alert) for alert in names}
    return Row(name, faults, expected, cells)


def doubt(view: View) -> str:
    """Why this history says nothing of alerts and panels; empty where it does."""
    control, fault, recovery = view.window("control"), view.fault, view.recovery
    if control is None or fault is None or recovery is None:
        return "a window is missing: control, fault and recovery are needed"
    if not all(lease["in_force"]["holds"] and evidence.exercised(view, lease) for lease in view.leases):
        return "it is not shown that the fault was in force and was met"
    if longest := gap(view.scrapes, Span(control.start, recovery.end), view.scrape_interval):
        return f"Prometheus scraped nothing for {text(longest)}, more than two intervals"
    return ""


def _cell(view: View, name: str) -> Cell:
    alert = Alert(name=name, silent=True)
    if (rest := _rest(view)) and (restless := checker.unrest(view, alert, rest)):
        return Cell("restless", why=restless)
    fires = checker.fired(view, alert)
    if fires is not None:
        return Cell("fired", fires, checker.resolved(view, alert))
    if view.in_force is not None and view.active(name, Span(view.in_force, math.inf)):
        return Cell("unknown", why="it fired and was not delivered")
    return Cell("silent")


def _rest(view: View) -> Span | None:
    """The part of the control window after the last alert of the fault before was seen to be silent."""
    control = view.window("control")
    return Span(max(control.start, view.run.get("quiet_wall", control.start)), control.end) if control else None


def _alerts(matrix: KillMatrix, seldom: frozenset[str], known: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    # A gate of all experiments has run those that they hear; where these were left out nothing is said of them.
    left_out = (seldom & heard(known)) - heard({row.experiment: row.expected for row in matrix.rows})
    for name in matrix.alerts:
        if name in left_out:
            continue
        cells = [(row, row.cells[name]) for row in matrix.rows]
        verdict, observed, detail = _proof(name, cells, matrix.predicted[name], known)
        yield _finding(f"alert {name}", verdict, "fires under a fault, is delivered, resolves", observed, detail)


def heard(known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The alerts that any of the experiments expects to fire."""
    return frozenset[str]().union(*known.values())


def _proof(
    name: str, cells: Sequence[tuple[Row, Cell]], predicted: float, known: Mapping[str, frozenset[str]]
) -> tuple[Verdict, str, str]:
    """Of one alert: verdict, what was observed, and why."""
    proofs = [(row, cell) for row, cell in cells if cell.resolves is not None]
    if proofs:
        return Verdict.CONFIRMED, "; ".join(_kill(row, cell, predicted) for row, cell in proofs), ""
    unresolved = [row.experiment for row, cell in cells if cell.heard == "fired"]
    if unresolved:
        return Verdict.REFUTED, f"it fired under {_listed(unresolved)} and did not resolve", ""
    doubtful = [f"{row.experiment}: {cell.why}" for row, cell in cells if name in row.expected and cell.why]
    if doubtful:
        return Verdict.INCONCLUSIVE, "no history says whether it fires", "; ".join(doubtful)
    ran = [row.experiment for row, _ in cells if name in row.expected]
    if ran:
        return Verdict.REFUTED, f"it slept through {_listed(ran)}, which expects it", ""
    elsewhere = [experiment for experiment, alerts in known.items() if name in alerts]
    if elsewhere:
        return Verdict.INCONCLUSIVE, "the experiments that it hears were not run", f"run {_listed(elsewhere)}"
    return Verdict.REFUTED, "nothing fires it: no experiment expects it to", "write one, or waive it in the SLO file"


def _kill(row: Row, cell: Cell, predicted: float) -> str:
    assert cell.fires is not None and cell.resolves is not None  # noqa: S101 - it is a proof
    return (
        f"{_listed(row.faults)}: {text(cell.fires)} (predicted {text(predicted)}, ratio {cell.fires / predicted:.2f}), "
        f"resolved after {text(cell.resolves)}"
    )


def _faults(matrix: KillMatrix) -> Iterator[Finding]:
    for row in matrix.rows:
        heard = [f"{name} after {text(cell.fires)}" for name, cell in row.cells.items() if cell.fires is not None]
        unsure = _unsure(row)
        if heard:
            verdict, observed = Verdict.CONFIRMED, _listed(heard)
        elif unsure:
            verdict, observed = Verdict.INCONCLUSIVE, "nothing certain"
        else:
            verdict, observed = Verdict.REFUTED, "no alert heard it"
        expected = f"{_listed(row.faults)} is heard by an alert"
        detail = "" if verdict is Verdict.CONFIRMED else "; ".join(unsure)
        yield _finding(f"experiment {row.experiment}", verdict, expected, observed, detail)


def _unsure(row: Row) -> list[str]:
    """Why nothing is known of some alerts; what holds for all is said once."""
    reasons = {cell.why for cell in row.cells.values()}
    if len(reasons) == 1:
        return [reason for reason in reasons if reason]
    return [f"{name}: {cell.why}" for name, cell in row.cells.items() if cell.why]


def _finding(subject: str, verdict: Verdict, expected: str, observed: str, detail: str) -> Finding:
    return Finding(check=NAME, subject=subject, verdict=verdict, expected=expected, observed=observed, detail=detail)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
