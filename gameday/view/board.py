"""A board as Grafana reads it, `dashboards/_gen/*.json`: what of it can be drawn, and what it asks Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gameday import durations
from gameday.alerts.timers import prometheus as duration
from gameday.dashboards import notation
from gameday.errors import GamedayError, InputError, Problem

ALL = "$__all"
_DEFAULT_SECONDS = 1800.0
_POINTS = 240
_LABEL_VALUES = re.compile(r"label_values\((?:(.+),)?\s*(\w+)\s*\)")


@dataclass(frozen=True)
class Query:
    """`legend` names its series, as in Grafana: `{{edge}}`."""

    expr: str
    legend: str

    def name(self, labels: Mapping[str, str]) -> str:
        """Of the series with `labels`."""
        return notation.named(self.legend, labels, self.expr)


@dataclass(frozen=True)
class Panel:
    """`place` is Grafana's grid: x, y, w, h, of 24 columns. `steps` are thresholds: from which value on which colour.

    `states` names values. `dashed` says that thresholds are drawn as lines.
    """

    id: int
    title: str
    description: str
    kind: str
    unit: str
    place: Mapping[str, int]
    queries: Sequence[Query]
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    steps: Sequence[tuple[float | None, str]] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    dashed: bool = False


@dataclass(frozen=True)
class Variable:
    """`kind` is `custom` or `query`; `every` says that all of its values may be chosen at once."""

    name: str
    label: str
    kind: str
    source: str
    every: bool
    default: str

    def label_values(self) -> tuple[str | None, str] | None:
        """The selector and the label of which Prometheus is asked for values; None where it is not asked."""
        found = _LABEL_VALUES.fullmatch(self.source.strip()) if self.kind == "query" else None
        return (found[1], found[2]) if found else None

    def listed(self) -> list[str]:
        return [value.strip() for value in self.source.split(",")] if self.kind == "custom" else []


@dataclass(frozen=True)
class Board:
    """`seconds` is the time range that it opens with."""

    uid: str
    title: str
    description: str
    seconds: float
    panels: Sequence[Panel]
    variables: Sequence[Variable]

    def panel(self, number: int) -> Panel:
        """Raises KeyError."""
        return {panel.id: panel for panel in self.panels}[number]


@dataclass(frozen=True)
class Range:
    """What is asked for: epoch seconds, and seconds between two points."""

    start: float
    end: float
    step: float
    scrape: float

    @classmethod
    def last(cls, seconds: float, now: float, scrape: float) -> Range:
        """On a grid of its own steps, so that a redrawn line does not tremble."""
        step = max(scrape, seconds / _POINTS)
        end = now - now % step
        return cls(end - seconds, end, step, scrape)


def read(path: Path) -> Board:
    """Raises InputError where it is no board."""
    try:
        model = json.loads(path.read_text())
        return Board(
            uid=str(model.get("uid") or path.stem),
            title=str(model["title"]),
            description=str(model.get("description") or ""),
            seconds=_seconds(str(model.get("time", {}).get("from", ""))),
            panels=tuple(_panels(model["panels"])),
            variables=tuple(_variables(model.get("templating", {}).get("list", ()))),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"not the JSON of a Grafana dashboard: {type(error).__name__}: {error}"
        mend = "export it from Grafana, or build it: gameday dashboards build"
        raise InputError(Problem(message, mend, path)) from None


def expression(expr: str, variables: Mapping[str, str], asked: Range) -> str:
    """`expr` with Grafana's variables resolved. Raises GamedayError where one is not known."""
    window = duration(max(asked.step + asked.scrape, notation.RATE_SCRAPES * asked.scrape))
    known = {
        **variables,
        "__rate_interval": window,
        "__interval": duration(asked.step),
        "__range": duration(asked.end - asked.start),
    }

    def value(name: str) -> str:
        if name not in known:
            raise GamedayError(f"the variable ${name} has no value here")
        return ".*" if known[name] == ALL else known[name]

    return notation.resolve(expr, value)


def _seconds(since: str) -> float:
    """`now-30m` in seconds."""
    try:
        return durations.seconds(since.removeprefix("now-"))
    except ValueError:
        return _DEFAULT_SECONDS


def _panels(models: Sequence[Mapping[str, Any]]) -> Iterator[Panel]:
    for model in models:
        yield _panel(model)
        yield from _panels(model.get("panels", ()))  # of a row that is folded


def _panel(model: Mapping[str, Any]) -> Panel:
    defaults = model.get("fieldConfig", {}).get("defaults", {})
    steps = defaults.get("thresholds", {}).get("steps", ())
    style = defaults.get("custom", {}).get("thresholdsStyle", {}).get("mode", "off")
    return Panel(
        id=int(model["id"]),
        title=str(model.get("title") or ""),
        description=str(model.get("description") or ""),
        kind=str(model["type"]),
        unit=str(defaults.get("unit") or "none"),
        place={axis: int(model["gridPos"][axis]) for axis in "xywh"},
        queries=tuple(
            Query(target["expr"], target.get("legendFormat", ""))
            for target in model.get("targets", ())
            if target.get("expr") and not target.get("hide")
        ),
        decimals=defaults.get("decimals"),
        low=defaults.get("min"),
        high=defaults.get("max"),
        steps=tuple((step.get("value"), str(step["color"])) for step in steps),
        states=dict(_states(defaults.get("mappings", ()))),
        dashed="line" in style or "dashed" in style,
    )


def _states(mappings: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for mapping in mappings:
        if mapping.get("type") == "value":
            for value, result in mapping["options"].items():
                yield value, str(result.get("text", value))


def _variables(models: Sequence[Mapping[str, Any]]) -> Iterator[Variable]:
    """Less those of data sources: there is one Prometheus here."""
    for model in models:
        if model["type"] in ("custom", "query"):
            query, current = model.get("query", ""), model.get("current", {}).get("value", "")
            yield Variable(
                name=str(model["name"]),
                label=str(model.get("label") or model["name"]),
                kind=str(model["type"]),
                source=str(query.get("query", "") if isinstance(query, dict) else query),
                every=bool(model.get("includeAll")),
                default=str((current or [""])[0] if isinstance(current, list) else current),
            )
