"""Did a span of a name and status begin while the fault was in force, where none did in the control window?

Read from what the store of spans was asked while the run went on. Spans arrive some time after they ended, so that
only what was asked late enough says that there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.checks.view import Span, View
from gameday.durations import TimeScale, text
from gameday.expectations import Trace
from gameday.journal import History
from gameday.verdict import Finding, Verdict

# Seconds after the end of a window by which its spans are there: exporters send every five.
LATE = 7.0


@dataclass(frozen=True)
class Seen:
    """A span that fits: its trace and who took part in it, its start in epoch seconds, and why it failed."""

    trace: str
    wall: float
    error: str | None
    services: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Asked:
    """What was found of `span` at `wall`; `error`: nobody answered.

    `kept` says whether the service had any span then; None where that was not asked, as while a window lasts.
    """

    span: Span
    wall: float
    found: Sequence[Seen]
    kept: bool | None
    error: str | None

    def tells(self, span: Span) -> bool:
        """Whether there is nothing in `span` but what is found here."""
        covers = self.span.start <= span.start and self.span.end >= span.end
        return self.kept is not None and covers and self.wall >= span.end + LATE


def check(history: History, expectation: Trace, scale: TimeScale) -> Finding:  # noqa: ARG001 - has no duration
    view = View(history)
    found = whole(view, expectation, view.fault)
    doubt = _doubt(view, expectation)
    verdict = Verdict.CONFIRMED if found else Verdict.REFUTED
    return Finding(
        check="traces",
        subject=f"{expectation.service} {expectation.name}",
        verdict=Verdict.INCONCLUSIVE if doubt else verdict,
        expected=_expected(expectation),
        observed=_observed(view, expectation, found),
        detail=doubt,
        n=len(found),
    )


def spoken(view: View, expectation: Trace, window: str) -> bool:
    match window:
        case "control":
            return any(asked.error is None for asked in _asked(view, expectation))
        case "fault":
            return bool(whole(view, expectation, view.fault))
    return all(_is_known(view, expectation, span) for span in windows(view))


def unrest(view: View, expectation: Trace, span: Span) -> str:
    """What in `span`, without a fault, is not as it should be; empty where nothing is."""
    found = seen(view, expectation, span)
    what = f"{expectation.service} had a span {expectation.name} with status {expectation.status}"
    return f"{what} in trace {found[0].trace}" if found else ""


def seen(view: View, expectation: Trace, span: Span | None) -> Sequence[Seen]:
    """Each span once, by its start, as it was seen last: the rest of its trace may have come later."""
    found = [each for asked in _asked(view, expectation) for each in asked.found if span and each.wall in span]
    last = {(each.wall, each.trace): each for each in found}
    return [last[key] for key in sorted(last)]


def whole(view: View, expectation: Trace, span: Span | None) -> Sequence[Seen]:
    """Those whose trace goes through all services that it is to go through."""
    return [each for each in seen(view, expectation, span) if each.services >= set(expectation.through)]


def windows(view: View) -> Sequence[Span]:
    """Control and fault, as far as they are over."""
    return [span for span in (view.window("control"), view.fault) if span and span.end < float("inf")]


def _is_known(view: View, expectation: Trace, span: Span) -> bool:
    """Whether it is certain what there was in `span`."""
    done = any(asked.tells(span) for asked in _asked(view, expectation))
    return done or (span == view.fault and bool(whole(view, expectation, span)))


def _asked(view: View, expectation: Trace) -> list[Asked]:
    wanted = (expectation.service, expectation.name, expectation.status)
    return [
        Asked(
            Span(data["since"], data["until"]),
            data["wall"],
            [
                Seen(each["trace"], each["wall"], each["error"], frozenset(each.get("services", ())))
                for each in data["found"]
            ],
            data["kept"],
            data["error"],
        )
        for data in (record.data for record in view.history.of("spans"))
        if (data["service"], data["name"], data["status"]) == wanted
    ]


def _doubt(view: View, expectation: Trace) -> str:
    control, fault = view.window("control"), view.fault
    if control is None or fault is None or view.undone is None:
        return "a window is missing: control, fault and recovery are needed"
    asked = _asked(view, expectation)
    for name, span in (("control", control), ("fault", fault)):
        if not _is_known(view, expectation, span):
            why = next((each.error for each in reversed(asked) if each.error), "nobody asked late enough")
            return f"what spans there were in the {name} window is not known: {why}"
    if not any(each.kept and each.tells(control) for each in asked):
        return f"no span of {expectation.service} is kept of the control window: there may have been any"
    restless = unrest(view, expectation, control)
    return f"without a fault: {restless}" if restless else ""


def _expected(expectation: Trace) -> str:
    through = f", in a trace through {', '.join(expectation.through)}" if expectation.through else ""
    return f"a span with status {expectation.status} while the fault is in force{through}, none without it"


def _observed(view: View, expectation: Trace, found: Sequence[Seen]) -> str:
    first = next(iter(found or seen(view, expectation, view.fault)), None)
    if first is None or view.in_force is None:
        return "no such span"
    why = f" ({first.error})" if first.error else ""
    missing = ", ".join(name for name in expectation.through if name not in first.services)
    without = f", without {missing}" if missing else ""
    return f"the first {text(first.wall - view.in_force)} after the fault{why}, in trace {first.trace}{without}"
