"""Did an alert stay silent without the fault, fire under it, reach its receiver and resolve?

Only what was delivered counts as fired and resolved. An alert counts for a fault
only if it was inactive while the control window lasted.
"""

from __future__ import annotations

import math

from gameday.checks.view import Span, View, gap
from gameday.durations import Bound, TimeScale, text
from gameday.expectations import Alert
from gameday.journal import History
from gameday.verdict import Finding, Verdict


def check(history: History, expectation: Alert, scale: TimeScale) -> Finding:
    view = View(history)
    doubt = _doubt(view, expectation)
    judge = _silence if expectation.silent else _cycle
    verdict, detail = (Verdict.INCONCLUSIVE, doubt) if doubt else judge(view, expectation, scale)
    return Finding(
        check="alerts",
        subject=expectation.name,
        verdict=verdict,
        expected="silent" if expectation.silent else f"fires {expectation.fires}, resolves {expectation.resolves}",
        observed=_observed(view, expectation),
        detail=detail,
        n=len(view.notifications(expectation.name)),
    )


def spoken(view: View, expectation: Alert, window: str) -> bool:
    if expectation.silent or window == "control":
        return True
    return (fired(view, expectation) if window == "fault" else resolved(view, expectation)) is not None


def unrest(view: View, expectation: Alert, span: Span) -> str:
    """What in `span`, without a fault, is not as it should be; empty where nothing is."""
    if view.active(expectation.name, span):
        return f"{expectation.name} was firing"
    if any(note.received in span and note.status == "firing" for note in view.notifications(expectation.name)):
        return f"{expectation.name} was delivered"
    return ""


def fired(view: View, expectation: Alert) -> float | None:
    """Seconds from the fault in force to the notification that the alert fires; 0 where it was felt before that."""
    if view.in_force is None or view.intended is None:
        return None
    for note in view.notifications(expectation.name):
        # An alert that fired before the fault is not due to it, however late it is delivered.
        if note.status == "firing" and note.started >= view.intended - 0.001:
            return max(0.0, note.received - view.in_force)
    return None


def resolved(view: View, expectation: Alert) -> float | None:
    """Seconds from the undo to the last notification, if it says resolved; 0 where the undo was felt before its end.

    Of several faults the one that the alert tells of may be undone before the others.
    """
    if view.undone is None or view.fault is None:
        return None
    notes = view.notifications(expectation.name)
    if not notes or notes[-1].status != "resolved" or notes[-1].received < view.fault.end:
        return None
    return max(0.0, notes[-1].received - view.undone)


def _doubt(view: View, expectation: Alert) -> str:
    control, fault, recovery = view.window("control"), view.fault, view.recovery
    if control is None or fault is None or recovery is None:
        return "a window is missing: control, fault and recovery are needed"
    if longest := gap(view.scrapes, Span(control.start, recovery.end), view.scrape_interval):
        return f"Prometheus scraped nothing for {text(longest)}, more than two intervals"
    restless = unrest(view, expectation, control)
    return f"in the control window: {restless}" if restless else ""


def _silence(view: View, expectation: Alert, _: TimeScale) -> tuple[Verdict, str]:
    control = view.window("control")
    since = Span(control.start if control else -math.inf)
    firing = view.active(expectation.name, since)
    notes = [
        note for note in view.notifications(expectation.name) if note.received in since and note.status == "firing"
    ]
    if firing or notes:
        return Verdict.REFUTED, "it fired"
    return Verdict.CONFIRMED, ""


def _cycle(view: View, expectation: Alert, scale: TimeScale) -> tuple[Verdict, str]:
    slack = view.slack("alerts")
    assert expectation.fires and expectation.resolves  # noqa: S101 - the model demands both or silence
    parts = (
        ("fire", fired(view, expectation), expectation.fires, expectation.waits),
        ("resolve", resolved(view, expectation), expectation.resolves, 0.0),
    )
    details = []
    for verb, took, bound, waits in parts:
        limit = scale.real(bound.limit, slack + waits)
        if took is None:
            return (
                Verdict.REFUTED,
                f"no notification that it did {verb} (allowed {text(limit)}){_seen(view, expectation)}",
            )
        if not Bound(bound.sign, limit).holds(took):
            return Verdict.REFUTED, f"it took {text(took)} to {verb}, allowed is {text(limit)}"
        details.append(f"{verb} allowed {text(limit)}")
    return Verdict.CONFIRMED, f"{', '.join(details)}: limit / {scale.factor:g} + {text(slack)} slack"


def _seen(view: View, expectation: Alert) -> str:
    """An alert that fires and reaches nobody is another failure than one that sleeps."""
    if view.in_force is None or not view.active(expectation.name, Span(view.in_force)):
        return ""
    return "; Prometheus showed it firing, so the delivery is what failed"


def _observed(view: View, expectation: Alert) -> str:
    fire, resolve = fired(view, expectation), resolved(view, expectation)
    if fire is None:
        firing = bool(view.active(expectation.name, Span(-math.inf)))
        return "fired, not delivered" if firing else "silent"
    end = "not resolved" if resolve is None else f"resolved {text(resolve)} after the undo"
    return f"fired {text(fire)} after the fault, {end}"
