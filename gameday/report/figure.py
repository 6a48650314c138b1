"""The plot of one timeline, as Plotly's JSON: rows of their own scale on one time axis.

Colours are names of CSS variables (`--failed`); the page puts in what they are in
its light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gameday.report.timeline import BREAKER_STATES, AlertLane, Answer, Fault, Span, Timeline, filled, moved, thinned

_GAP = 52
_LANE = 46
_FEW_DECADES = 2
_TOP = 34
_BOTTOM = 46
_COLOURS = {Answer.SAME: "--same", Answer.OTHER: "--other", Answer.FAILED: "--failed"}
_LANE_COLOURS = {"pending": "--other", "firing": "--failed"}


@dataclass(frozen=True)
class _Row:
    """`height` in pixels, `note` where there is nothing to draw."""

    title: str
    height: int
    traces: list[dict[str, Any]]
    axis: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def draw(timeline: Timeline) -> dict[str, Any]:
    """`{"data": [...], "layout": {...}}` with layout.height in pixels."""
    rows = [_load(timeline), _latency(timeline), _failures(timeline)]
    if timeline.windows:
        rows += [_breaker(timeline), *_queue(timeline), _alerts(timeline.alerts)]
    height = _TOP + _BOTTOM + sum(row.height + _GAP for row in rows)
    inner = height - _TOP - _BOTTOM
    data: list[dict[str, Any]] = []
    layout = _layout(timeline, height)
    top = inner
    for number, row in enumerate(rows, 1):
        suffix = "" if number == 1 else str(number)
        top -= _GAP
        domain = [(top - row.height) / inner, top / inner]
        layout[f"yaxis{suffix}"] = _y_axis(row, domain)
        layout[f"legend{suffix}"] = _legend((top + 4) / inner)
        layout["annotations"] += _titles(row, domain, inner)
        data += [trace | {"xaxis": "x", "yaxis": f"y{suffix}", "legend": f"legend{suffix}"} for trace in row.traces]
        top -= row.height
    layout["xaxis"]["anchor"] = f"y{len(rows)}"
    return {"data": data, "layout": layout}


def _load(timeline: Timeline) -> _Row:
    x = [bucket.at for bucket in timeline.buckets]
    traces = []
    for answer in Answer:
        y = [round(bucket.counts[answer] / bucket.width, 3) for bucket in timeline.buckets]
        if any(y) or answer is Answer.SAME:
            traces.append(
                {
                    "type": "bar",
                    "name": str(answer),
                    "x": x,
                    "y": y,
                    "width": [bucket.width for bucket in timeline.buckets],
                    "marker": {"color": _COLOURS[answer], "line": {"width": 0}},
                    "hovertemplate": f"%{{y:.3g}}/s {answer}<extra></extra>",
                }
            )
    note = "" if timeline.requests else "no request was recorded"
    return _Row("Load, answers per second", 110, traces, {"rangemode": "tozero"}, note)


def _latency(timeline: Timeline) -> _Row:
    traces: list[dict[str, Any]] = []
    points = thinned(timeline.requests)
    for answer in Answer:
        chosen = [point for point in points if point.answer is answer]
        if chosen:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"request, {answer}",
                    "x": [round(point.at, 3) for point in chosen],
                    "y": [round(point.ms or 0.001, 3) for point in chosen],
                    "marker": {"color": _COLOURS[answer], "size": 4, "opacity": 0.45},
                    "hoverinfo": "skip",
                    "showlegend": False,
                }
            )
    for name, colour in (("p50", "--p50"), ("p99", "--p99")):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [bucket.at for bucket in timeline.buckets],
                "y": [getattr(bucket, name) for bucket in timeline.buckets],
                "line": {"color": colour, "width": 2},
                "hovertemplate": f"{name} %{{y:.4g}} ms<extra></extra>",
            }
        )
    axis = {"type": "log", **_ticks([point.ms for point in points if point.ms])}
    return _Row("Latency, milliseconds (logarithmic)", 150, traces, axis)


def _ticks(values: Sequence[float]) -> dict[str, Any]:
    """1, 2, 5, 10, ... where they are few, else the powers of ten. (Plotly's own would print 50 as 5.)"""
    if not values:
        return {}
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if high - low <= _FEW_DECADES else (1,)
    ticks = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _failures(timeline: Timeline) -> _Row:
    failed = [round(bucket.counts[Answer.FAILED] / bucket.width, 3) for bucket in timeline.buckets]
    trace = {
        "type": "scatter",
        "mode": "lines",
        "fill": "tozeroy",
        "name": "failed",
        "x": [bucket.at for bucket in timeline.buckets],
        "y": failed,
        "line": {"color": "--failed", "width": 1.5, "shape": "hvh"},
        "fillcolor": "--failed-soft",
        "hovertemplate": "%{y:.3g}/s failed<extra></extra>",
        "showlegend": False,
    }
    note = "none" if timeline.requests and not any(failed) else ""
    return _Row(
        "Errors, failed answers per second",
        60,
        [trace],
        {"rangemode": "tozero", "range": [0, max([*failed, 1]) * 1.15]},
        note,
    )


def _breaker(timeline: Timeline) -> _Row:
    """Only those that opened: a dozen flat lines hide the one that tells something."""
    shown = moved(timeline.breakers)
    still = len(timeline.breakers) - len(shown)
    traces = [_steps(edge, timeline.breakers[edge], f"--breaker-{number % 4}") for number, edge in enumerate(shown)]
    axis = {"tickvals": [0, 1, 2], "ticktext": list(BREAKER_STATES), "range": [-0.3, 2.3]}
    if not timeline.breakers:
        return _Row("Breaker", 74, traces, axis, "no sample was recorded")
    title = f"Breaker ({still} more stayed closed)" if shown and still else "Breaker"
    return _Row(title, 74, traces, axis, "" if shown else f"all {still} stayed closed")


def _queue(timeline: Timeline) -> list[_Row]:
    """Only those that filled, and no row where none did."""
    shown = filled(timeline.queues)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": queue,
            "x": [second for second, _ in timeline.queues[queue]],
            "y": [depth for _, depth in timeline.queues[queue]],
            "line": {"color": f"--breaker-{number % 4}", "width": 2},
            "hovertemplate": f"%{{y:.0f}} in {queue}<extra></extra>",
            "showlegend": True,
        }
        for number, queue in enumerate(shown)
    ]
    return [_Row("Messages that wait", 90, traces, {"rangemode": "tozero"})] if shown else []


def _steps(edge: str, samples: Sequence[tuple[float, int]], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": edge,
        "x": [round(at, 3) for at, _ in samples],
        "y": [state for _, state in samples],
        "line": {"color": colour, "width": 2.5, "shape": "hv"},
        "text": [BREAKER_STATES[state] for _, state in samples],
        "hovertemplate": f"{edge} %{{text}}<extra></extra>",
        "showlegend": True,
    }


def _alerts(lanes: Sequence[AlertLane]) -> _Row:
    """A lane an alert, its name above its bar: a name is too long for the margin."""
    if not lanes:
        return _Row("Alerts", _LANE, [], {"range": [0, 1], "tickvals": []}, "none was pending or firing")
    traces: list[dict[str, Any]] = []
    for state, colour in _LANE_COLOURS.items():
        traces.append(_bars(state, colour, [(n, span) for n, lane in enumerate(lanes) for span in lane.spans]))
    for status, symbol in (("firing", "triangle-up"), ("resolved", "triangle-down")):
        marks = [(n, at) for n, lane in enumerate(lanes) for at, told in lane.notified if told == status]
        traces.append(_marks(f"notified: {status}", symbol, marks))
    traces.append(_names(lanes))
    axis = {"range": [len(lanes) - 0.5, -0.75], "tickvals": [], "showgrid": False}
    return _Row("Alerts", _LANE * len(lanes), [trace for trace in traces if trace["y"]], axis)


def _bars(state: str, colour: str, spans: Sequence[tuple[int, Span]]) -> dict[str, Any]:
    chosen = [(lane, span) for lane, span in spans if span.name == state]
    return {
        "type": "bar",
        "orientation": "h",
        "name": state,
        "y": [lane for lane, _ in chosen],
        "base": [round(span.start, 3) for _, span in chosen],
        "x": [round(max((span.end or span.start) - span.start, 0.2), 3) for _, span in chosen],
        "width": 0.36,
        "marker": {"color": colour, "line": {"width": 0}},
        "hovertemplate": f"{state} from %{{base:.1f}} s<extra></extra>",
    }


def _marks(name: str, symbol: str, marks: Sequence[tuple[int, float]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "y": [lane for lane, _ in marks],
        "x": [round(at, 3) for _, at in marks],
        "marker": {"color": "--text", "size": 11, "symbol": symbol, "line": {"color": "--surface", "width": 1.5}},
        "hovertemplate": f"{name} at %{{x:.1f}} s<extra></extra>",
    }


def _names(lanes: Sequence[AlertLane]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "text",
        "x": [0] * len(lanes),
        "y": [lane - 0.42 for lane in range(len(lanes))],
        "text": [f" {lane.name}" for lane in lanes],
        "textposition": "middle right",
        "textfont": {"color": "--text", "size": 12},
        "cliponaxis": False,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _layout(timeline: Timeline, height: int) -> dict[str, Any]:
    length = timeline.length
    shapes: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for fault in timeline.faults:
        end = length if fault.undone is None else fault.undone
        shapes.append(_shade(fault.intended, end))
        if fault.in_force is not None:
            shapes.append(_shade(fault.in_force, end))
    for window in timeline.windows:
        end = length if window.end is None else window.end
        shapes.append(_line(window.start))
        annotations.append(_window_name(window, end, timeline.faults))
    return {
        "height": height,
        "margin": {"l": 64, "r": 14, "t": _TOP, "b": _BOTTOM, "autoexpand": False},
        "barmode": "stack",
        "hovermode": "x",
        "hoversubplots": "axis",
        "dragmode": "zoom",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--muted", "family": "system-ui, sans-serif", "size": 12},
        "hoverlabel": {"bgcolor": "--surface", "bordercolor": "--border", "font": {"color": "--text"}},
        "xaxis": {
            "range": [0, length * 1.01],
            "title": {"text": "seconds since the run began", "standoff": 8},
            "gridcolor": "--grid",
            "zeroline": False,
            "ticks": "outside",
            "tickcolor": "--border",
            "showspikes": True,
            "spikemode": "across",
            "spikesnap": "cursor",
            "spikethickness": 1,
            "spikedash": "solid",
            "spikecolor": "--muted",
            "hoverformat": ".1f",
        },
        "shapes": shapes,
        "annotations": annotations,
    }


def _y_axis(row: _Row, domain: Sequence[float]) -> dict[str, Any]:
    return {
        "domain": list(domain),
        "gridcolor": "--grid",
        "zeroline": False,
        "fixedrange": True,
        "nticks": 4,
        "automargin": False,
        **row.axis,
    }


def _legend(y: float) -> dict[str, Any]:
    return {
        "orientation": "h",
        "x": 1,
        "xanchor": "right",
        "y": y,
        "yanchor": "bottom",
        "bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12},
        "itemclick": False,
        "itemdoubleclick": False,
        "traceorder": "normal",
    }


def _titles(row: _Row, domain: Sequence[float], inner: float) -> list[dict[str, Any]]:
    common = {"xref": "paper", "yref": "paper", "showarrow": False}
    title = {
        **common,
        "text": f"<b>{row.title}</b>",
        "x": 0,
        "xanchor": "left",
        "y": domain[1] + 6 / inner,
        "yanchor": "bottom",
        "font": {"color": "--text", "size": 13},
    }
    if not row.note:
        return [title]
    middle = (domain[0] + domain[1]) / 2
    return [title, {**common, "text": row.note, "x": 0.5, "y": middle, "font": {"color": "--muted", "size": 13}}]


def _shade(start: float, end: float) -> dict[str, Any]:
    place = {"type": "rect", "xref": "x", "yref": "paper", "x0": start, "x1": end, "y0": 0, "y1": 1}
    return {**place, "fillcolor": "--shade", "line": {"width": 0}, "layer": "below"}


def _line(at: float) -> dict[str, Any]:
    place = {"type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1}
    return {**place, "line": {"color": "--border", "width": 1, "dash": "dot"}, "layer": "below"}


def _window_name(window: Span, end: float, faults: Sequence[Fault]) -> dict[str, Any]:
    named = [fault.name for fault in faults if window.start <= fault.intended <= end] if window.name == "fault" else []
    told = named[0] + (f" and {len(named) - 1} more" if len(named) > 1 else "") if named else ""
    return {
        "xref": "x",
        "yref": "paper",
        "x": (window.start + end) / 2,
        "y": 1,
        "yanchor": "bottom",
        "showarrow": False,
        "text": f"<b>{': '.join(filter(None, (window.name, told)))}</b>",
        "font": {"color": "--failed" if window.name == "fault" else "--muted", "size": 13},
    }
