"""Was the system healthy before the fault? What is broken without a fault proves nothing with one."""

from __future__ import annotations

from collections.abc import Sequence

from gameday.checks.view import Request, Span, View
from gameday.durations import text
from gameday.journal import History
from gameday.statistics import wilson
from gameday.verdict import Finding, Verdict

MINIMUM = 30
SERVER_ERROR = 500


def check(history: History) -> Finding:
    view = View(history)
    span = view.window("control")
    requests = _all(view, span) if span else []
    bad = _failed(requests)
    if span is None or len(requests) < MINIMUM:
        verdict, detail = Verdict.INCONCLUSIVE, f"fewer than {MINIMUM} requests before the fault"
    elif bad:
        verdict, detail = Verdict.INCONCLUSIVE, f"such as {_name(bad[0])}"
    else:
        verdict, detail = Verdict.CONFIRMED, _anew(history)
    lasted = f" in {text(span.end - span.start)}" if span else ""
    return Finding(
        check="control",
        subject="control window",
        verdict=verdict,
        expected=f"at least {MINIMUM} requests, none failed",
        observed=f"{len(bad)} of {len(requests)} failed{lasted}",
        detail=detail,
        n=len(requests),
        interval=wilson(len(bad), len(requests)) if requests else None,
    )


def unrest(view: View, span: Span) -> str:
    """Which request in `span` failed, of whatever route; empty where none did."""
    bad = _failed(_all(view, span))
    return f"{len(bad)} requests failed, such as {_name(bad[0])}" if bad else ""


def _all(view: View, span: Span) -> list[Request]:
    return [request for route in view.routes for request in view.requests(route, span)]


def _failed(requests: Sequence[Request]) -> list[Request]:
    return [request for request in requests if request.error or (request.status or 0) >= SERVER_ERROR]


def _name(request: Request) -> str:
    return f"{request.route}: {request.error or f'status {request.status}'}"


def _anew(history: History) -> str:
    """A control window begins anew when something in it was not at rest; nobody should overlook how often."""
    windows = [record.data for record in history.of("window") if record.data["window"] == "control"]
    again = sum(data["edge"] == "start" for data in windows) - 1
    return f"began anew {again} times, as the system was not at rest" if again > 0 else ""
