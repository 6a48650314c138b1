"""Keeps what every panel drew over a run, as records of its history."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from gameday.checks.view import Span
from gameday.dashboards.shown import Shown
from gameday.errors import GamedayError
from gameday.tools.prometheus import Series

# Prometheus answers on the cores that the system under load needs, too.
_THREADS = 4


class Source(Protocol):
    """What is asked: `gameday.tools.prometheus.Prometheus`."""

    def range(self, query: str, start: float, end: float, step: float) -> Sequence[Series]: ...


def record(queries: Sequence[Shown], source: Source, span: Span, interval: float) -> Iterator[dict[str, Any]]:
    """One record a query, over `span` up to now, a value each scrape `interval` (seconds)."""
    start = round(span.start, 3)
    count = int((min(span.end, time.time()) - start) // interval) + 1
    draw = partial(_drawn, source=source, start=start, count=count, step=interval)
    with ThreadPoolExecutor(_THREADS) as threads:
        yield from threads.map(draw, [query.resolved(interval) for query in queries])


def _drawn(query: Shown, source: Source, start: float, count: int, step: float) -> dict[str, Any]:
    series, error = [], None
    try:
        for found in source.range(query.expr, start, start + (count - 1) * step, step):
            values: list[float | None] = [None] * count
            for wall, value in found.points:
                values[round((wall - start) / step)] = _number(value)
            series.append({"name": query.name(found.labels), "values": values})
    except GamedayError as refused:
        error = str(refused)
    return {
        "board": query.board,
        "panel": query.panel,
        "expr": query.expr,
        "reach": query.reach(step),
        "start": start,
        "step": step,
        "series": series,
        "error": error,
    }


def _number(value: float) -> float | None:
    """JSON knows no NaN and no infinity, and neither moves anything."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
