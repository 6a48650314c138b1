"""Did a service write a line about an event while the fault was in force, where it wrote none in the control window?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gameday import logs
from gameday.checks.content import fits, told
from gameday.checks.view import Span, View
from gameday.durations import TimeScale, text
from gameday.expectations import Log
from gameday.journal import History
from gameday.tools.locust import dig
from gameday.verdict import Finding, Verdict


def check(history: History, expectation: Log, scale: TimeScale) -> Finding:  # noqa: ARG001 - has no duration
    view = View(history)
    found = written(view, expectation, view.fault)
    doubt = _doubt(view, expectation)
    verdict = Verdict.CONFIRMED if found else Verdict.REFUTED
    return Finding(
        check="logs",
        subject=f"{expectation.service} {expectation.event}",
        verdict=Verdict.INCONCLUSIVE if doubt else verdict,
        expected=f"a line{_with(expectation)} while the fault is in force, none without it",
        observed=_observed(view, found),
        detail=doubt,
        n=len(found),
    )


def spoken(view: View, expectation: Log, window: str) -> bool:
    return window != "fault" or bool(written(view, expectation, view.fault))


def unrest(view: View, expectation: Log, span: Span) -> str:
    """What in `span`, without a fault, is not as it should be; empty where nothing is."""
    found = written(view, expectation, span)
    return f"{expectation.service} wrote {_lines(found)} {expectation.event}{_with(expectation)}" if found else ""


def written(view: View, expectation: Log, span: Span | None) -> Sequence[Mapping[str, Any]]:
    """The lines that fit, in the order in which they were written."""
    found = [line for line in _fitting(view, expectation) if span and (logs.wall(line) or 0.0) in span]
    return sorted(found, key=lambda line: logs.wall(line) or 0.0)


def _fitting(view: View, expectation: Log) -> list[Mapping[str, Any]]:
    lines = (record.data["line"] for record in view.history.of("line") if record.data["service"] == expectation.service)
    return [line for line in lines if logs.event(line) == expectation.event and _describes(expectation, line)]


def _describes(expectation: Log, line: Mapping[str, Any]) -> bool:
    found = ((wanted, *dig(line, path)) for path, wanted in expectation.content.items())
    return all(there and fits(wanted, value) for wanted, there, value in found)


def _doubt(view: View, expectation: Log) -> str:
    control, fault = view.window("control"), view.fault
    if control is None or fault is None or view.undone is None:
        return "a window is missing: control, fault and recovery are needed"
    read = [each.data for each in view.history.of("log") if each.data["service"] == expectation.service]
    if not read or any(log["error"] or log["since"] > control.start for log in read):
        why = next((log["error"] for log in read if log["error"]), "nobody read them from the control window on")
        return f"the logs of {expectation.service} are not known: {why}"
    if any(logs.wall(line) is None for line in _fitting(view, expectation)):
        return "a line tells no time, so that nobody knows in which window it was written"
    restless = unrest(view, expectation, control)
    return f"without a fault: {restless}" if restless else ""


def _with(expectation: Log) -> str:
    wanted = ", ".join(f"{path} {told(value)}" for path, value in expectation.content.items())
    return f" with {wanted}" if wanted else ""


def _observed(view: View, found: Sequence[Mapping[str, Any]]) -> str:
    if not found or view.in_force is None:
        return "no such line"
    first = (logs.wall(found[0]) or 0.0) - view.in_force
    return f"{_lines(found)}, the first {text(first)} after the fault"


def _lines(found: Sequence[Mapping[str, Any]]) -> str:
    return f"{len(found)} {'line' if len(found) == 1 else 'lines'}"
