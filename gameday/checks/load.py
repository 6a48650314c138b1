"""Did a load profile meet the thresholds of its routes?"""

from __future__ import annotations

import math

from gameday.checks.users import is_good
from gameday.checks.view import Span, View
from gameday.durations import text
from gameday.expectations import Threshold, Users
from gameday.journal import History
from gameday.statistics import P99_MINIMUM, quantile, quantile_interval, wilson
from gameday.verdict import Finding, Verdict


def check(history: History, route: str, threshold: Threshold) -> Finding:
    """`threshold` over every request to `route` in the history."""
    view = View(history)
    requests = view.requests(route, Span(-math.inf))
    as_users = Users(route=route, status=threshold.status, bad=threshold.bad)
    bad = [request for request in requests if not is_good(request, as_users)]
    expected = f"status {threshold.status}, bad {threshold.bad}"
    expected += f", p99 {threshold.p99}" if threshold.p99 else ""
    verdict, detail = _judge(threshold, [request.ms / 1000 for request in requests], len(bad))
    if verdict is Verdict.REFUTED and bad:
        detail += f", such as {bad[0].error or f'status {bad[0].status}'}"
    return Finding(
        check="load",
        subject=route,
        verdict=verdict,
        expected=expected,
        observed=_observed([request.ms for request in requests], len(bad)),
        detail=detail,
        n=len(requests),
        interval=wilson(len(bad), len(requests)) if requests else None,
    )


def _judge(threshold: Threshold, times: list[float], bad: int) -> tuple[Verdict, str]:
    if len(times) < threshold.bad.of or (threshold.p99 and len(times) < P99_MINIMUM):
        return Verdict.INCONCLUSIVE, f"only {len(times)} requests, {threshold.bad.of} are declared"
    if not threshold.bad.holds(bad, len(times)):
        return Verdict.REFUTED, f"{bad} of {len(times)} requests were bad"
    if threshold.p99 and not threshold.p99.holds(seen := quantile(times, 0.99)):
        return Verdict.REFUTED, f"p99 was {text(seen)}, which is not {threshold.p99}"
    return Verdict.CONFIRMED, ""


def _observed(times: list[float], bad: int) -> str:
    """`times` in milliseconds."""
    if not times:
        return "no requests"
    low, high = wilson(bad, len(times))
    share = f"{bad} of {len(times)} bad (95 % {low:.2%} to {high:.2%})"
    low, high = quantile_interval(times, 0.99)
    return (
        f"{share}, p50 {quantile(times, 0.5):.1f}ms, p99 {quantile(times, 0.99):.0f}ms (95 % {low:.0f} to {high:.0f}ms)"
    )
