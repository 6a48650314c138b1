"""Which panel was seen to move under which fault, read from the histories of experiments.

A panel is proven where each of its queries had data without a fault, and the experiment that it names moves it in the
direction that it names; one that names none, by any movement. A panel that is always empty, or that nothing moves and
that is not declared static, is a finding. How often the same test moves a panel from one control window to another of
the same load is told beside it: there every movement is a false one.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from gameday import killmatrix, movement
from gameday.checks import panels as checker
from gameday.checks.view import View
from gameday.dashboards import Boards
from gameday.dashboards.board import MovedBy, Panel
from gameday.journal import History
from gameday.movement import Direction, Movement, Values
from gameday.statistics import wilson
from gameday.verdict import Finding, Result, Verdict

NAME = "panels"
FACT = "panels"
# The share of false movements from which on a movement proves little.
FALSE_POSITIVES = 0.05
_DIRECTIONS: Sequence[Direction] = get_args(Direction)


@dataclass(frozen=True)
class Cell:
    """What a panel did in one experiment: by direction the series that moved; `why` where nobody can tell."""

    moves: Mapping[Direction, Mapping[str, Movement]]
    why: str = ""


@dataclass(frozen=True)
class Data:
    """What a query showed in all control windows together. `error`: why nobody could ask it anywhere."""

    expr: str
    series: int
    numbers: int
    error: str | None


@dataclass(frozen=True)
class Row:
    """One panel: what its description says of it, what its queries showed, what each experiment did to it."""

    board: str
    title: str
    moved_by: MovedBy | None
    static: str | None
    queries: Sequence[Data]
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Stillness:
    """Of `n` comparisons of two control windows, those in which a panel moved; `restless` are its panels."""

    moved: int
    n: int
    restless: Mapping[str, int]


@dataclass(frozen=True)
class Proof:
    rows: Sequence[Row]
    stillness: Stillness

    def facts(self) -> dict[str, Any]:
        """As `verdict.json` holds it."""
        return {
            "panels": [
                {
                    "board": row.board,
                    "panel": row.title,
                    "queries": [{"expr": each.expr, "series": each.series, "n": each.numbers} for each in row.queries],
                    "experiments": {
                        name: {**{way: sorted(found) for way, found in cell.moves.items()}, "unknown": cell.why}
                        for name, cell in row.cells.items()
                    },
                }
                for row in self.rows
            ],
            "false_positives": {"moved": self.stillness.moved, "n": self.stillness.n},
        }


def read(histories: Mapping[str, History], boards: Boards) -> Proof:
    """`histories` by experiment, as `killmatrix.experiments` finds them."""
    views = {name: View(history) for name, history in histories.items()}
    described = {(board.uid, panel.title): panel for board in boards.described for panel in board.panels}
    shown = dict.fromkeys((query.board, query.panel) for query in boards.queries)
    rows = [_row(where, described.get(where), views) for where in shown]
    return Proof(rows, _stillness(rows, list(views.values())))


def judge(proof: Proof, known: Collection[str]) -> Result:
    """`known`: the experiments that there are, run or not."""
    findings = [_finding(row, known) for row in proof.rows]
    title = "Each panel shows data, and its fault moves it"
    return Result(
        suite="dashboards",
        name=NAME,
        title=title,
        findings=(*findings, _false_positives(proof.stillness)),
        facts={FACT: proof.facts()},
    )


def _row(where: tuple[str, str], panel: Panel | None, views: Mapping[str, View]) -> Row:
    cells = {name: _cell(view, *where) for name, view in views.items()}
    moved_by, static = (panel.moved_by, panel.static) if panel else (None, None)
    return Row(*where, moved_by, static, list(_data(where, views.values())), cells)


def _cell(view: View, board: str, panel: str) -> Cell:
    drawn = checker.of(view, board, panel)
    if doubt := killmatrix.doubt(view):
        return Cell({}, doubt)
    if not drawn:
        return Cell({}, "its run kept nothing of this panel")
    if errors := [each.error for each in drawn if each.error]:
        return Cell({}, errors[0])
    moves = {way: checker.moves(view, drawn, way) for way in _DIRECTIONS}
    told = any(
        movement.known(checker.control(view, each, values), checker.fault(view, each, values), checker.least(each))
        for each in drawn
        for _, values in each.series
    )
    return Cell(moves, "" if told or any(moves.values()) else "too few samples")


def _data(where: tuple[str, str], views: Collection[View]) -> Iterator[Data]:
    found: dict[str, dict[str, int]] = {}
    errors: dict[str, list[str | None]] = {}
    for view in views:
        window = view.window("control")
        for each in checker.of(view, *where):
            errors.setdefault(each.expr, []).append(each.error)
            series = found.setdefault(each.expr, {})
            for name, values in each.series:
                numbers = len(movement.numbers(each.within(values, window))) if window else 0
                series[name] = series.get(name, 0) + numbers
    for expr, series in found.items():
        seen = {name: numbers for name, numbers in series.items() if numbers}
        refused = errors[expr][0] if all(errors[expr]) else None
        yield Data(expr, len(seen), sum(seen.values()), refused)


def _stillness(rows: Sequence[Row], views: Sequence[View]) -> Stillness:
    """Each control window against each other of the same load, as if the second were the window of a fault.

    SAMPLES consecutive ones are enough there, also of a query that looks back: control windows are short, and the
    rate is thereby an upper bound.
    """
    restless: dict[str, int] = {}
    n = 0
    controls = [(view.run.get("load"), view.scale.factor, _controls(view)) for view in views]
    for row in rows:
        for before, after in itertools.permutations(controls, 2) if not row.static else ():
            if before[:2] != after[:2]:
                continue
            tests = list(_pairs(row, before[2], after[2]))
            n += bool(tests)
            if any(movement.moved(*pair, way) for pair in tests for way in _ways(row)):
                name = f"{row.board}: {row.title}"
                restless[name] = restless.get(name, 0) + 1
    return Stillness(sum(restless.values()), n, restless)


Controls = Mapping[tuple[str, str], Mapping[tuple[str, str], Values]]


def _controls(view: View) -> Controls:
    """By panel, then by query and series, the samples of the control window."""
    found: dict[tuple[str, str], dict[tuple[str, str], Values]] = {}
    for each in view.drawn:
        for name, values in each.series:
            of_panel = found.setdefault((each.board, each.panel), {})
            of_panel[each.expr, name] = checker.control(view, each, values)
    return found


def _pairs(row: Row, before: Controls, after: Controls) -> Iterator[tuple[Values, Values]]:
    where, series = (row.board, row.title), row.moved_by.series if row.moved_by else None
    for key, values in before.get(where, {}).items():
        pair = values, after.get(where, {}).get(key, ())
        if series in (None, key[1]) and movement.known(*pair):
            yield pair


def _ways(row: Row) -> Sequence[Direction]:
    return [row.moved_by.moves] if row.moved_by else _DIRECTIONS


def _finding(row: Row, known: Collection[str]) -> Finding:
    verdict, detail = _judged(row, known)
    declared = row.moved_by
    if declared:
        expected = f"data, and {declared.experiment} moves {declared.series or 'a series'} {declared.moves}"
    else:
        expected = f"data; static: {row.static}" if row.static else "data, and something moves it"
    return Finding(
        check=NAME,
        subject=f"{row.board}: {row.title}",
        verdict=verdict,
        expected=expected,
        observed=_observed(row),
        detail=detail,
        n=sum(each.numbers for each in row.queries),
    )


def _judged(row: Row, known: Collection[str]) -> tuple[Verdict, str]:
    if not row.queries:
        return Verdict.INCONCLUSIVE, "no run kept anything of it: run experiments with the boards as they are now"
    if refused := [each.error for each in row.queries if each.error]:
        return Verdict.INCONCLUSIVE, refused[0]
    if unrun := _unrun(row, known):
        return unrun
    if empty := [each.expr for each in row.queries if not each.numbers]:
        return Verdict.REFUTED, f"empty without a fault: {'; '.join(empty)}"
    if row.static:
        return Verdict.CONFIRMED, ""
    return _declared(row, row.moved_by) if row.moved_by else _any(row)


def _unrun(row: Row, known: Collection[str]) -> tuple[Verdict, str] | None:
    """A panel may be empty under the load of another experiment than its own."""
    if row.moved_by is None or row.moved_by.experiment in row.cells:
        return None
    if row.moved_by.experiment in known:
        return Verdict.INCONCLUSIVE, f"{row.moved_by.experiment} was not run"
    return Verdict.REFUTED, f"there is no experiment {row.moved_by.experiment}"


def _declared(row: Row, by: MovedBy) -> tuple[Verdict, str]:
    cell = row.cells[by.experiment]
    if cell.why:
        return Verdict.INCONCLUSIVE, f"{by.experiment}: {cell.why}"
    moved = cell.moves[by.moves]
    if not (by.series in moved if by.series else moved):
        return Verdict.REFUTED, f"{by.experiment} did not move {by.series or 'any series of'} it {by.moves}"
    return Verdict.CONFIRMED, ""


def _any(row: Row) -> tuple[Verdict, str]:
    if any(found for cell in row.cells.values() for found in cell.moves.values()):
        return Verdict.CONFIRMED, ""
    unsure = [f"{name}: {cell.why}" for name, cell in row.cells.items() if cell.why]
    if unsure:
        return Verdict.INCONCLUSIVE, f"nothing is known to move it; {'; '.join(unsure)}"
    return Verdict.REFUTED, "nothing moves it: name an experiment that does, or say why it is static"


def _observed(row: Row) -> str:
    """The declared movement in numbers, then the experiments that moved the panel by direction."""
    series, numbers = sum(each.series for each in row.queries), sum(each.numbers for each in row.queries)
    said = [f"{series} series, {numbers} numbers without a fault"]
    if by := row.moved_by:
        found = row.cells[by.experiment].moves.get(by.moves, {}) if by.experiment in row.cells else {}
        chosen = {name: shift for name, shift in found.items() if by.series in (None, name)}
        said += [f"{by.experiment}: {checker.told(chosen, most=1)}"] if chosen else []
    for way in _DIRECTIONS:
        names = [name for name, cell in row.cells.items() if cell.moves.get(way)]
        said += [f"{way} in {', '.join(names)}"] if names else []
    return "; ".join(said)


def _false_positives(still: Stillness) -> Finding:
    rate = still.moved / still.n if still.n else 1.0
    interval = wilson(still.moved, still.n) if still.n else None
    worst = sorted(still.restless.items(), key=lambda each: -each[1])[:5]
    observed = f"{still.moved} of {still.n} ({rate:.1%})" if still.n else "no two control windows of one load"
    return Finding(
        check=NAME,
        subject="false positives",
        verdict=Verdict.CONFIRMED if rate <= FALSE_POSITIVES else Verdict.INCONCLUSIVE,
        expected=f"a panel moves in at most {FALSE_POSITIVES:.0%} of the comparisons of two control windows",
        observed=observed,
        detail=", ".join(f"{name}: {times}" for name, times in worst),
        n=still.n,
        interval=interval,
    )
