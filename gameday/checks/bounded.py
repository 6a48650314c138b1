"""Did every request to a route end in time, from the fault in force to the end of the recovery?

However it ended: an error at once keeps nobody waiting. What has not ended counts for as long as it is known to wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from gameday.checks.view import Request, Span, View
from gameday.durations import TimeScale, text
from gameday.expectations import Bounded
from gameday.journal import History
from gameday.verdict import Finding, Verdict

# Requests in each window.
ENOUGH = 20


def check(history: History, expectation: Bounded, scale: TimeScale) -> Finding:  # noqa: ARG001 - people are never scaled
    view = View(history)
    span = _span(view)
    requests = view.requests(expectation.route, span) if span else ()
    verdict, detail = _judge(view, expectation, span, requests)
    return Finding(
        check="bounded",
        subject=expectation.route,
        verdict=verdict,
        expected=f"each ends {expectation.within}",
        observed=f"the longest took {text(max(map(_took, requests)))}" if requests else "no requests",
        detail=detail,
        n=len(requests),
    )


def spoken(view: View, expectation: Bounded, window: str) -> bool:
    return _enough(view, expectation, window)


def unrest(view: View, expectation: Bounded, span: Span) -> str:
    late = _late(expectation, view.requests(expectation.route, span))
    return f"{expectation.route} took {text(_took(late[0]))} without a fault" if late else ""


def _span(view: View) -> Span | None:
    """Both windows, and the undo between them."""
    return Span(view.fault.start, view.recovery.end) if view.fault and view.recovery else None


def _judge(view: View, expectation: Bounded, span: Span | None, requests: Sequence[Request]) -> tuple[Verdict, str]:
    control = view.window("control")
    if span is None or control is None:
        return Verdict.INCONCLUSIVE, "a window is missing: control, fault and recovery are needed"
    if restless := unrest(view, expectation, control):
        return Verdict.INCONCLUSIVE, restless
    if late := _late(expectation, requests):
        return _lateness(expectation, late)
    waited = _waited(view, expectation, span)
    if not expectation.within.holds(waited):
        return Verdict.REFUTED, f"one has had no answer for {text(waited)}"
    doubt = _doubt(view, expectation, span)
    return (Verdict.INCONCLUSIVE, doubt) if doubt else (Verdict.CONFIRMED, "")


def _doubt(view: View, expectation: Bounded, span: Span) -> str:
    if not view.answered(expectation.route, span.end):
        return "not all that was asked has ended"
    few = [window for window in ("control", "fault", "recovery") if not _enough(view, expectation, window)]
    return f"fewer than {ENOUGH} requests in the {few[0]} window" if few else ""


def _lateness(expectation: Bounded, late: Sequence[Request]) -> tuple[Verdict, str]:
    if all(expectation.within.holds(_took(request) - request.lag / 1000) for request in late):
        return Verdict.INCONCLUSIVE, "only the load generator was late: the machine was too busy to say"
    longest = max(late, key=_took)
    return Verdict.REFUTED, f"{len(late)} were late, such as {longest.error or f'status {longest.status}'}"


def _late(expectation: Bounded, requests: Sequence[Request]) -> list[Request]:
    return [request for request in requests if not expectation.within.holds(_took(request))]


def _took(request: Request) -> float:
    """Seconds."""
    return request.ms / 1000


def _waited(view: View, expectation: Bounded, span: Span) -> float:
    """Seconds for which the oldest request of `span` without an answer had waited when its users last got one."""
    heard = view.requests(expectation.route, Span(span.start))
    last = max(heard, key=lambda request: request.intended + _took(request), default=None)
    if last is None or last.oldest is None or last.oldest not in span:
        return 0.0
    return last.intended + _took(last) - last.oldest


def _enough(view: View, expectation: Bounded, window: str) -> bool:
    span = {"fault": view.fault, "recovery": view.recovery}.get(window, view.window(window))
    return span is not None and len(view.requests(expectation.route, span)) >= ENOUGH
