"""The plot of one panel, as Plotly's JSON. Colours are names of CSS variables (`--failed`), as in the report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from gameday.tools.prometheus import Series
from gameday.view.board import Panel, Range
from gameday.view.units import Unit, unit

# Of Grafana's names of colours, light or dark, the last word: `semi-dark-orange`.
_COLOURS: Mapping[str, str] = {
    "green": "--confirmed",
    "orange": "--other",
    "yellow": "--other",
    "red": "--failed",
    "blue": "--series-0",
    "purple": "--series-4",
}
_PALETTE = 8
# A point may be late by that much of a step before it is missed.
_LATE_STEPS = 2
_GAP_STEPS = 1.5
_MOST_NUMBERS = 12
_FEW = 8
# Pixels.
_LANE = 22
# How the ticks of a time axis are written that is shorter than so many seconds.
_TICKS = ((900.0, "%H:%M:%S"), (86_400.0, "%H:%M"), (math.inf, "%-d %b\n%H:%M"))


@dataclass(frozen=True)
class Line:
    """A series under the name by which its panel shows it."""

    name: str
    points: Sequence[tuple[float, float]]

    def last(self, asked: Range) -> float | None:
        """What is true now: what came before a silence is not."""
        wall, value = self.points[-1] if self.points else (0.0, math.nan)
        late = asked.end - wall > _LATE_STEPS * asked.step
        return None if late or math.isnan(value) else value


@dataclass(frozen=True)
class Drawn:
    """`silent` says why there is nothing, or nothing any more; empty where all is well."""

    figure: dict[str, Any]
    silent: str = ""


def lines(panel: Panel, found: Sequence[Sequence[Series]]) -> list[Line]:
    """The series of all queries of a panel, named; a series without any number is none."""
    return [
        Line(query.name(series.labels), series.points)
        for query, answer in zip(panel.queries, found, strict=True)
        for series in answer
        if any(not math.isnan(value) for _, value in series.points)
    ]


def draw(panel: Panel, shown: Sequence[Line], asked: Range) -> Drawn:
    if panel.kind not in _KINDS:
        return Drawn({"data": [], "layout": {}}, f"panels of the kind {panel.kind!r} are drawn by Grafana only")
    data, layout = _KINDS[panel.kind](panel, shown, asked)
    return Drawn({"data": data, "layout": {**_BASE, **layout}}, _silent(shown, asked))


def _silent(shown: Sequence[Line], asked: Range) -> str:
    if not shown:
        return "no data"
    if all(line.last(asked) is None for line in shown):
        newest = max(wall for line in shown for wall, value in line.points if not math.isnan(value))
        return f"no data since {datetime.fromtimestamp(newest, UTC):%H:%M:%S} UTC"
    return ""


_BASE: Mapping[str, Any] = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": "--muted", "family": "system-ui, sans-serif", "size": 11},
    "hoverlabel": {"bgcolor": "--surface", "bordercolor": "--border", "font": {"color": "--text"}, "namelength": -1},
    "margin": {"l": 8, "r": 8, "t": 6, "b": 6},
    # What a person zoomed into stays when new points come.
    "uirevision": "gameday",
}


_LEGEND: Mapping[str, Any] = {
    "orientation": "h",
    "yref": "container",
    "x": 0,
    "y": 0,
    "yanchor": "bottom",
    "maxheight": 48,
}


def _time_series(panel: Panel, shown: Sequence[Line], asked: Range) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    form = unit(panel.unit, panel.decimals)
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": line.name,
            "x": [_milliseconds(wall) for wall, _ in points],
            "y": [value for _, value in points],
            "line": {"color": f"--series-{number % _PALETTE}", "width": 1.8},
            "connectgaps": False,
            # Of many, those that are nothing but zero hide the one that tells something.
            "showlegend": len(shown) <= _FEW or any(value for _, value in points),
            "hovertemplate": f"%{{y:{form.format}}}{form.suffix}",
        }
        for number, line in enumerate(shown)
        for points in [list(_with_gaps(line.points, asked.step))]
    ]
    layout = {
        "xaxis": _time_axis(asked),
        "yaxis": _value_axis(panel, form),
        "hovermode": "x unified" if len(shown) <= _FEW else "closest",
        "showlegend": len(shown) > 1,
        "legend": _LEGEND,
        "shapes": [_threshold(start, colour) for start, colour in panel.steps if panel.dashed and start is not None],
    }
    return data, layout


def _states(panel: Panel, shown: Sequence[Line], asked: Range) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A lane a series, a bar for as long as its value stays; where nothing was heard there is none."""
    bars: dict[str, list[tuple[str, float, float]]] = {}
    colours: dict[str, str] = {}
    for line in shown:
        for start, end, value in _spells(line.points, asked.step):
            state = panel.states.get(f"{value:g}", f"{value:g}")
            colours[state] = _colour(panel, value)
            bars.setdefault(state, []).append((line.name, start, end))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": state,
            "y": [name for name, _, _ in spells],
            "base": [_milliseconds(start) for _, start, _ in spells],
            "x": [_milliseconds(end - start) for _, start, end in spells],
            "width": 0.7,
            "marker": {"color": colours[state], "line": {"width": 0}},
            "hovertemplate": f"%{{y}}: {state} from %{{base|%H:%M:%S}}<extra></extra>",
        }
        for state, spells in sorted(bars.items())
    ]
    layout = {
        # More lanes than a panel has room for are scrolled.
        **({"height": _LANE * len(shown)} if len(shown) > _FEW else {}),
        "xaxis": _time_axis(asked),
        "yaxis": {
            "automargin": True,
            "type": "category",
            "autorange": "reversed",
            "ticksuffix": " ",
            "dtick": 1,
        },
        "barmode": "overlay",
        "hovermode": "closest",
        "showlegend": True,
        "legend": _LEGEND,
    }
    return data, layout


def _numbers(panel: Panel, shown: Sequence[Line], asked: Range) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What is true now, one under the other; of what stopped there is no number."""
    form = unit(panel.unit, panel.decimals)
    known = [(line.name, line.last(asked)) for line in shown[:_MOST_NUMBERS]]
    data = [
        {
            "type": "indicator",
            "mode": "number",
            "value": value,
            "number": {
                "valueformat": form.format, "suffix": form.suffix, "font": {"color": _colour(panel, value)},
            },
            "title": {"text": _titled(panel, name, value), "font": {"size": 12}},
            "domain": {"x": [0, 1], "y": [1 - (place + 0.7) / len(known), 1 - place / len(known)]},
        }
        for place, (name, value) in enumerate(known)
    ]  # fmt: skip
    return data, {"margin": {"l": 8, "r": 8, "t": 22, "b": 6}}


def _titled(panel: Panel, name: str, value: float | None) -> str:
    state = "no data" if value is None else panel.states.get(f"{value:g}")
    return f"{name}: {state}" if state else name


_KINDS = {
    "timeseries": _time_series,
    "graph": _time_series,
    "state-timeline": _states,
    "status-history": _states,
    "stat": _numbers,
    "gauge": _numbers,
    "bargauge": _numbers,
}


def _time_axis(asked: Range) -> dict[str, Any]:
    return {
        "type": "date",
        "range": [_milliseconds(asked.start), _milliseconds(asked.end)],
        "gridcolor": "--grid",
        "zeroline": False,
        "tickformat": next(form for seconds, form in _TICKS if asked.end - asked.start < seconds),
        "hoverformat": "%H:%M:%S",
        "nticks": 5,
        "tickangle": 0,
        "automargin": True,
    }


def _value_axis(panel: Panel, form: Unit) -> dict[str, Any]:
    return {
        "automargin": True,
        "gridcolor": "--grid",
        "zeroline": False,
        "fixedrange": True,
        "nticks": 5,
        "range": [panel.low, panel.high],
        "tickformat": form.format,
        "ticksuffix": f"{form.suffix} ",
    }


def _threshold(start: float, colour: str) -> dict[str, Any]:
    place = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": start, "y1": start}
    return {**place, "line": {"color": _named(colour), "width": 1, "dash": "dash"}}


def _colour(panel: Panel, value: float | None) -> str:
    """Of the last threshold that the value has reached."""
    if value is None:
        return "--muted"
    reached = [colour for start, colour in panel.steps if start is None or value >= start]
    return _named(reached[-1]) if reached else "--text"


def _named(colour: str) -> str:
    """What has no name is a colour of CSS already."""
    return _COLOURS.get(colour.rpartition("-")[2], colour if colour.startswith(("#", "rgb")) else "--muted")


def _with_gaps(points: Sequence[tuple[float, float]], step: float) -> Iterator[tuple[float, float | None]]:
    """Where nothing was heard the line breaks. What is no number JSON does not have."""
    before = None
    for wall, value in points:
        if before is not None and wall - before > _GAP_STEPS * step:
            yield before + step, None
        yield wall, value if math.isfinite(value) else None
        before = wall


def _spells(points: Sequence[tuple[float, float]], step: float) -> Iterator[tuple[float, float, float]]:
    """From, until, value: a sample is true until the next one, but for no longer than a step."""
    start: float | None = None
    for (wall, value), (after, next_value) in pairwise([*points, (math.inf, math.nan)]):
        if math.isnan(value):
            continue
        start = wall if start is None else start
        if after - wall > _GAP_STEPS * step or next_value != value:
            yield start, min(after, wall + step), value
            start = None


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
