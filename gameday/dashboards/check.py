"""Does every panel show something? Asks the running Prometheus what Grafana would ask."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Protocol

from gameday.dashboards.shown import Shown
from gameday.errors import GamedayError
from gameday.tools.prometheus import Sample, Series
from gameday.verdict import Finding, Result, Verdict

# Seconds: what a panel that has no number now may have had one for. A quantile of what nobody does just now has none.
LATELY = 300.0
_STEPS = 60


class Source(Protocol):
    """What is asked: `gameday.tools.prometheus.Prometheus`."""

    def instant(self, query: str) -> Sequence[Sample]: ...

    def range(self, query: str, start: float, end: float, step: float) -> Sequence[Series]: ...

    def scrape_interval(self) -> float: ...


def check(queries: Sequence[Shown], source: Source) -> Result:
    """Refuted where a query is empty, inconclusive where it had no number lately or cannot be asked.

    A query that is empty in good times must say so itself, with `or vector(0)`.
    Raises GamedayError where Prometheus does not answer at all.
    """
    began = time.monotonic()
    interval = source.scrape_interval()
    findings = tuple(_query(each.resolved(interval), source) for each in queries)
    return Result(
        suite="dashboards",
        name="data",
        title="Every panel shows data",
        findings=findings,
        seconds=time.monotonic() - began,
    )


def _query(query: Shown, source: Source) -> Finding:
    verdict, observed = _ask(query.expr, source)
    return Finding(
        check="data",
        subject=f"{query.board}: {query.panel}",
        verdict=verdict,
        expected="at least one series with a number",
        observed=observed,
        detail=query.expr,
    )


def _ask(expression: str, source: Source) -> tuple[Verdict, str]:
    now = time.time()
    try:
        samples = source.instant(expression)
        unknown = all(math.isnan(sample.value) for sample in samples)
        before = source.range(expression, now - LATELY, now, LATELY / _STEPS) if samples and unknown else ()
    except GamedayError as error:
        return Verdict.INCONCLUSIVE, str(error)
    if not samples:
        return Verdict.REFUTED, "no series"
    if numbers := [sample for sample in samples if not math.isnan(sample.value)]:
        return Verdict.CONFIRMED, f"{len(numbers)} series"
    if lately := [series for series in before if any(not math.isnan(value) for _, value in series.points)]:
        return Verdict.CONFIRMED, f"{len(lately)} series, with numbers in the last {LATELY / 60:g} min"
    return Verdict.INCONCLUSIVE, f"{len(samples)} series, none with a number: nothing of it happened lately"
