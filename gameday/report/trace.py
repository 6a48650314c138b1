"""One request that met the fault, as the page draws it: a bar for each span, and what the services wrote about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gameday import logs
from gameday.journal import History
from gameday.tools.jaeger import Span
from gameday.waterfall import tree

# What each line of one request says, or what stands in columns of its own.
_SHOWN_ELSEWHERE = frozenset({"service", "event", "message", "msg", "level", "trace_id", "correlationId"})
_TIMES = frozenset({"timestamp", "time", "ts", "@timestamp"})
# So that also the shortest can be seen. Percent.
_SLIVER = 0.4
_LONGEST = 200
# What takes that long is told in seconds.
_SECONDS = 10.0


@dataclass(frozen=True)
class Bar:
    """One span, `depth` below the root; `left` and `width` in percent of the whole."""

    depth: int
    service: str
    name: str
    ms: float
    left: float
    width: float
    failed: bool
    why: str


@dataclass(frozen=True)
class Line:
    """A line of a log, `ms` after the request began; `level` as it says itself, empty where it does not."""

    ms: float | None
    service: str
    event: str
    level: str
    fields: str


@dataclass(frozen=True)
class Trace:
    """`began` in epoch seconds, `took` with its unit; `error` says why there is nothing to draw."""

    id: str
    began: float
    took: str
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    error: str | None


def read(history: History) -> Trace | None:
    """None where no request was kept."""
    kept = next((record.data for record in history.of("trace")), None)
    if kept is None:
        return None
    spans = [Span(**each, attributes={}) for each in kept["spans"]]
    began = min((span.start for span in spans), default=0.0)
    whole = max((span.end for span in spans), default=0.0) - began
    return Trace(
        id=kept["trace"] or "",
        began=began,
        took=f"{whole * 1000:.1f} ms" if whole < _SECONDS else f"{whole:.1f} s",
        bars=_bars(spans, began, max(whole, 1e-9)),
        lines=tuple(_line(each["service"], each["line"], began) for each in kept["lines"]),
        error=kept["error"],
    )


def _bars(spans: Sequence[Span], began: float, whole: float) -> tuple[Bar, ...]:
    known = {span.id for span in spans}
    return tuple(
        _bar(span, depth, began, whole, orphan=bool(span.parent) and span.parent not in known)
        for depth, span in tree(spans)
    )


def _bar(span: Span, depth: int, began: float, whole: float, *, orphan: bool) -> Bar:
    width = max((span.end - span.start) / whole * 100, _SLIVER)
    return Bar(
        depth=depth,
        service=span.service,
        name=span.name,
        ms=(span.end - span.start) * 1000,
        left=min((span.start - began) / whole * 100, 100 - width),
        width=width,
        failed=span.error is not None,
        why="; ".join(filter(None, (span.error, "its parent is not here" if orphan else ""))),
    )


def _line(service: str, line: Mapping[str, Any], began: float) -> Line:
    wall = logs.wall(line)
    rest = {key: value for key, value in line.items() if key not in _SHOWN_ELSEWHERE | _TIMES}
    return Line(
        ms=None if wall is None else (wall - began) * 1000,
        service=service,
        event=logs.event(line) or "",
        level=str(line.get("level", "")),
        fields=", ".join(f"{key}: {_text(value)}" for key, value in rest.items()),
    )


def _text(value: Any) -> str:
    told = value if isinstance(value, str) else json.dumps(value)
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}..."
