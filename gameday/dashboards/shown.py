"""What boards ask Prometheus, with Grafana's variables resolved: those described here, and anybody's JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday import durations
from gameday.alerts.timers import prometheus as duration
from gameday.dashboards import notation
from gameday.dashboards.board import Board
from gameday.errors import InputError, Problem

_RANGE = re.compile(r"\[((?:\d+(?:ms|[smhd]))+)[\]:]")


@dataclass(frozen=True)
class Shown:
    """One query of one panel. `legend` names its series, as in Grafana: `{{edge}}`."""

    board: str
    panel: str
    expr: str
    legend: str

    def resolved(self, scrape_interval: float) -> Shown:
        window = duration(notation.RATE_SCRAPES * scrape_interval)
        expr = self.expr.replace("$__rate_interval", window).replace("$__interval", window)
        return Shown(self.board, self.panel, expr, self.legend)

    def reach(self, scrape_interval: float) -> float:
        """Seconds by which a sample of the resolved query looks back: its longest range, at least one scrape."""
        return max([scrape_interval, *(durations.seconds(found) for found in _RANGE.findall(self.expr))])

    def name(self, labels: Mapping[str, str]) -> str:
        """Of the series with `labels`."""
        return notation.named(self.legend, labels, self.panel)


def of(board: Board) -> Iterator[Shown]:
    for panel in board.panels:
        for query in panel.queries:
            yield Shown(board.uid, panel.title, query.expr, query.legend)


def read(path: Path) -> list[Shown]:
    """The Prometheus queries of a dashboard's JSON, its variables at the values it was saved with."""
    try:
        model = json.loads(path.read_text())
        variables = {each["name"]: _value(each) for each in model.get("templating", {}).get("list", ())}
        uid = str(model.get("uid") or path.stem)
        return list(_queries(uid, model["panels"], variables))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"not the JSON of a Grafana dashboard: {type(error).__name__}: {error}"
        raise InputError(Problem(message, "export it from Grafana, or move it away", path)) from None


def _queries(uid: str, panels: Sequence[Any], variables: Mapping[str, str]) -> Iterator[Shown]:
    for panel in panels:
        yield from _queries(uid, panel.get("panels", ()), variables)  # of a row that is folded
        for target in panel.get("targets", ()):
            if expression := target.get("expr"):
                title = str(panel.get("title") or panel["id"])
                resolved = notation.resolve(expression, variables.get)
                yield Shown(uid, title, resolved, target.get("legendFormat", ""))


def _value(variable: Mapping[str, Any]) -> str:
    """As a regular expression, which is how Grafana writes several values."""
    value = variable.get("current", {}).get("value", "")
    chosen = [str(each) for each in (value if isinstance(value, list) else [value])]
    return variable.get("allValue") or ".*" if "$__all" in chosen else "|".join(chosen)
