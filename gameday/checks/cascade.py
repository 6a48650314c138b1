"""Did routes that the fault is not about go on answering while it was in force?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gameday.checks.control import SERVER_ERROR
from gameday.checks.view import Request, Span, View
from gameday.durations import TimeScale
from gameday.expectations import Cascade
from gameday.journal import History
from gameday.statistics import wilson
from gameday.verdict import Finding, Verdict


def check(history: History, expectation: Cascade, scale: TimeScale) -> Finding:  # noqa: ARG001 - nothing here is timed
    view = View(history)
    asked = _asked(view, expectation, view.fault)
    bad = {route: _bad(requests) for route, requests in asked.items()}
    verdict, detail = _judge(view, expectation, asked, bad)
    failed, n = sum(map(len, bad.values())), sum(map(len, asked.values()))
    return Finding(
        check="cascade",
        subject=_subject(expectation),
        verdict=verdict,
        expected=f"of each route bad {expectation.bad}",
        observed=f"{failed} of {n} bad, of {len(asked)} routes",
        detail=detail,
        n=n,
        interval=wilson(failed, n) if n else None,
    )


def spoken(view: View, expectation: Cascade, window: str) -> bool:
    if window == "recovery":
        return True
    span = view.fault if window == "fault" else view.window(window)
    return not _too_few(expectation, _asked(view, expectation, span))


def unrest(view: View, expectation: Cascade, span: Span) -> str:  # noqa: ARG001 - the control window tells of each failure
    return ""


def _asked(view: View, expectation: Cascade, span: Span | None) -> Mapping[str, Sequence[Request]]:
    """What was asked in `span` of each route that must not fail."""
    routes = expectation.routes or [route for route in view.load_routes if route not in expectation.spared]
    return {route: view.requests(route, span) if span else () for route in routes}


def _bad(requests: Sequence[Request]) -> list[Request]:
    return [request for request in requests if request.error or (request.status or SERVER_ERROR) >= SERVER_ERROR]


def _judge(
    view: View, expectation: Cascade, asked: Mapping[str, Sequence[Request]], bad: Mapping[str, Sequence[Request]]
) -> tuple[Verdict, str]:
    """What failed too often has failed, however seldom another route was asked."""
    enough = [route for route, requests in asked.items() if len(requests) >= expectation.bad.of]
    if failing := [route for route in enough if not expectation.bad.holds(len(bad[route]), len(asked[route]))]:
        worst = max(failing, key=lambda route: len(bad[route]) / len(asked[route]))
        return Verdict.REFUTED, f"{worst}: {len(bad[worst])} of {len(asked[worst])} bad, such as {_name(bad[worst][0])}"
    doubt = _doubt(view, expectation, asked)
    return (Verdict.INCONCLUSIVE, doubt) if doubt else (Verdict.CONFIRMED, "")


def _doubt(view: View, expectation: Cascade, asked: Mapping[str, Sequence[Request]]) -> str:
    if view.fault is None:
        return "the fault was never in force"
    if not asked:
        return "the load asks for no other route"
    if few := _too_few(expectation, asked):
        return few
    if few := _too_few(expectation, _asked(view, expectation, view.window("control"))):
        return f"without a fault: {few}"
    waiting = [route for route in asked if not view.answered(route, view.fault.end)]
    return f"not all that was asked of {waiting[0]} has ended" if waiting else ""


def _too_few(expectation: Cascade, asked: Mapping[str, Sequence[Request]]) -> str:
    """Which route was asked the least, where it is not often enough."""
    route = min(asked, key=lambda each: len(asked[each]), default=None)
    if route is None or len(asked[route]) >= expectation.bad.of:
        return ""
    return f"only {len(asked[route])} requests to {route}, {expectation.bad.of} are needed"


def _name(request: Request) -> str:
    return request.error or f"status {request.status}"


def _subject(expectation: Cascade) -> str:
    return ", ".join(expectation.routes) or f"all but {', '.join(expectation.spared)}"
