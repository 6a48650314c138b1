"""Does every panel show something? Asks the running Prometheus what Grafana would ask."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Protocol

from gameday.dashboards import shown
from gameday.dashboards.board import Board
from gameday.dashboards.shown import Shown
from gameday.errors import GamedayError
from gameday.tools.prometheus import Sample
from gameday.verdict import Finding, Result, Verdict


class Source(Protocol):
    """What is asked: `gameday.tools.prometheus.Prometheus`."""

    def instant(self, query: str) -> Sequence[Sample]: ...

    def scrape_interval(self) -> float: ...


def check(boards: Sequence[Board], source: Source) -> Result:
    """Refuted where a query is empty, inconclusive where it has no number or cannot be asked.

    A query that is empty in good times must say so itself, with `or vector(0)`.
    Raises GamedayError where Prometheus does not answer at all.
    """
    began = time.monotonic()
    interval = source.scrape_interval()
    findings = tuple(_query(each.resolved(interval), source) for board in boards for each in shown.of(board))
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
    try:
        samples = source.instant(expression)
    except GamedayError as error:
        return Verdict.INCONCLUSIVE, str(error)
    numbers = [sample for sample in samples if not math.isnan(sample.value)]
    if not samples:
        return Verdict.REFUTED, "no series"
    if not numbers:
        return (
            Verdict.INCONCLUSIVE,
            f"{len(samples)} series, none with a number: nothing of it happened lately",
        )
    return Verdict.CONFIRMED, f"{len(numbers)} series"
