"""Was the system healthy before the fault? What is broken without a fault proves nothing with one."""

from __future__ import annotations

from gameday.checks.view import View
from gameday.durations import text
from gameday.journal import History
from gameday.statistics import wilson
from gameday.verdict import Finding, Verdict

MINIMUM = 30
SERVER_ERROR = 500


def check(history: History) -> Finding:
    view = View(history)
    span = view.window("control")
    requests = [request for route in view.routes for request in view.requests(route, span)] if span else []
    bad = [request for request in requests if request.error or (request.status or 0) >= SERVER_ERROR]
    if span is None or len(requests) < MINIMUM:
        verdict, detail = Verdict.INCONCLUSIVE, f"fewer than {MINIMUM} requests before the fault"
    elif bad:
        verdict, detail = Verdict.INCONCLUSIVE, f"such as {bad[0].route}: {bad[0].error or f'status {bad[0].status}'}"
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


def _anew(history: History) -> str:
    """A control window begins anew when something in it was not at rest; nobody should overlook how often."""
    windows = [record.data for record in history.of("window") if record.data["window"] == "control"]
    again = sum(data["edge"] == "start" for data in windows) - 1
    return f"began anew {again} times, as the system was not at rest" if again > 0 else ""
