"""From a history to a result. Pure: the same history gives the same verdict, today and in a year."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gameday import journal
from gameday.checks import CHECKS, control, evidence, explored, load, toolkit
from gameday.checks.view import View
from gameday.errors import InputError, Problem
from gameday.expectations import Expect, Threshold
from gameday.journal import History
from gameday.verdict import Finding, Result, Verdict

JOURNAL = "journal.jsonl"


def judge(history: History, directory: Path | None = None) -> Result:
    """What was proven. A checker that raises is inconclusive, and says so."""
    view = View(history)
    run = view.run
    suite = run.get("suite", "experiments")
    findings = list(_history(history, view))
    findings += _SUITES.get(suite, _experiment)(history, run)
    return Result(
        suite=suite,
        name=str(run.get("experiment", directory.name if directory else "unknown")),
        title=str(run.get("title", "a run whose history has no beginning")),
        findings=tuple(findings),
        seconds=history.records[-1].mono - history.records[0].mono if history.records else 0.0,
        directory=str(directory) if directory else None,
        facts={key: run[key] for key in ("id", "time_scale", "scrape_interval", "slack", "substitutions") if key in run}
        | (explored.facts(view) if suite == "exploration" else {}),
    )


def read(directory: Path) -> History:
    """The history of a run. Raises InputError where there is none that can be read."""
    path = directory / JOURNAL
    if not path.is_file():
        raise InputError(Problem("no history of a run", "name a directory that `gameday runs list` shows", file=path))
    try:
        return journal.read(path)
    except ValueError as error:
        raise InputError(Problem(str(error), "a history damaged in the middle cannot be judged", file=path)) from None


def _history(history: History, view: View) -> Iterator[Finding]:
    """Only speaks where the history itself is not to be trusted."""
    if not view.run:
        yield _unsure("history", "begins with the run", "no record of the run")
    if history.torn:
        yield _unsure("history", "complete", "its last record is cut: the writer crashed")
    elif not any(history.of("end")):
        yield _unsure("history", "complete", "it has no end: the run was cut short")
    for error in view.errors:
        yield _unsure(str(error["where"]), "no error of gameday", str(error["message"]))


def _experiment(history: History, run: Any) -> Iterator[Finding]:
    file, lines = run.get("file"), run.get("lines", {})
    yield from _guarded("evidence", partial(evidence.check, history))
    yield from _guarded("control", partial(_one, control.check, history))
    yield from _guarded("toolkit", partial(_one, toolkit.check, history))
    try:
        expect = Expect.model_validate(run.get("expect"))
    except ValueError as error:
        yield _unsure("history", "holds what was expected", str(error))
        return
    scale = View(history).scale
    for kind, check in CHECKS.items():
        for index, expectation in enumerate(getattr(expect, kind)):
            for finding in _guarded(kind, partial(_one, check, history, expectation, scale)):
                yield finding.model_copy(update={"file": file, "line": lines.get(f"{kind}.{index}")})


def _load(history: History, run: Any) -> Iterator[Finding]:
    file, lines = run.get("file"), run.get("lines", {})
    for route, threshold in TypeAdapter(dict[str, Threshold]).validate_python(run.get("routes", {})).items():
        for finding in _guarded("load", partial(_one, load.check, history, route, threshold)):
            yield finding.model_copy(update={"file": file, "line": lines.get(route)})


def _exploration(history: History, run: Any) -> Iterator[Finding]:  # noqa: ARG001 - as the others
    yield from _guarded("evidence", partial(evidence.check, history))
    yield from _guarded("control", partial(_one, control.check, history))
    yield from _guarded("users", lambda: list(explored.check(history)))


_SUITES = {"load": _load, "experiments": _experiment, "exploration": _exploration}


def _one(check: Callable[..., Finding], *arguments: Any) -> Sequence[Finding]:
    return [check(*arguments)]


def _guarded(name: str, check: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever a checker cannot judge is inconclusive
        return [_unsure(name, "a judgement", f"the checker raised {type(error).__name__}: {error}")]


def _unsure(subject: str, expected: str, observed: str) -> Finding:
    return Finding(check="history", subject=subject, verdict=Verdict.INCONCLUSIVE, expected=expected, observed=observed)
