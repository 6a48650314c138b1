"""Boards: read strictly, generated as committed, and checked for data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gameday import dashboards
from gameday.checks.view import Span
from gameday.dashboards import board as boards
from gameday.dashboards import recording, shown
from gameday.dashboards.check import check
from gameday.errors import GamedayError, InputError
from gameday.tools.prometheus import Sample, Series
from gameday.verdict import Verdict

ROOT = Path(__file__).parents[2]

GOOD = """\
uid: small
title: Small
description: d
rows:
  - title: Row
    panels:
      - id: 1
        title: Panel
        description: d
        kind: timeseries
        unit: s
        width: 12
        thresholds: [{color: green}, {color: red, from: 1}]
        queries:
          - {expr: 'sum(rate(a_total[$__rate_interval]))', legend: a}
          - {expr: b, legend: b}
"""


class Answers:
    """A Prometheus that knows `values`, and those of `before`; an exception among them is raised."""

    def __init__(self, values: Mapping[str, Sequence[float] | Exception], before: Sequence[float] = ()) -> None:
        self.values = values
        self.before = before
        self.asked: list[str] = []

    def scrape_interval(self) -> float:
        return 15.0

    def instant(self, query: str) -> Sequence[Sample]:
        self.asked.append(query)
        values = self.values.get(query, ())
        if isinstance(values, Exception):
            raise values
        return [Sample("", {}, 0.0, value) for value in values]

    def range(self, query: str, start: float, end: float, step: float) -> Sequence[Series]:
        return [Series({}, [(start, value) for value in self.before])]


def read(directory: Path, source: str = GOOD) -> boards.Board:
    path = directory / "small.yaml"
    path.write_text(source)
    return boards.read(path)


@pytest.fixture
def board() -> boards.Board:
    return boards.read(ROOT / "dashboards" / "resilience.yaml")


@pytest.fixture(params=sorted(path.name for path in (ROOT / "dashboards").glob("*.yaml")))
def any_board(request: pytest.FixtureRequest) -> boards.Board:
    return boards.read(ROOT / "dashboards" / request.param)


def panels(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in model["panels"] if panel["type"] != "row"]


def test_the_committed_boards_are_what_their_descriptions_say(tmp_path: Path) -> None:
    built = dashboards.build(ROOT / "dashboards", tmp_path)
    committed = {path.name: path.read_text() for path in (ROOT / "dashboards" / "_gen").iterdir()}
    assert {path.name: path.read_text() for path in built} == committed
    assert all("Generated" in content.splitlines()[1] for content in committed.values())


def test_every_panel_has_id_unit_thresholds_and_words(any_board: boards.Board) -> None:
    model = dashboards.render(any_board)
    ids = [panel["id"] for panel in model["panels"]]
    assert len(ids) == len(set(ids)) and all(ids)
    for panel in panels(model):
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None
        assert [target["refId"] for target in panel["targets"]] == sorted({t["refId"] for t in panel["targets"]})
        assert all(target["legendFormat"] for target in panel["targets"])
        assert panel["datasource"]["uid"] == "${datasource}"


def test_no_two_panels_overlap_and_none_leaves_the_grid(any_board: boards.Board) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboards.render(any_board)["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < boards.COLUMNS
        taken |= cells


def test_the_states_of_a_breaker_are_named(board: boards.Board) -> None:
    (breaker,) = [panel for panel in panels(dashboards.render(board)) if panel["title"] == "Breaker state"]
    (mapping,) = breaker["fieldConfig"]["defaults"]["mappings"]
    assert {value: shown["text"] for value, shown in mapping["options"].items()} == {
        "0": "closed",
        "1": "half-open",
        "2": "open",
    }


@pytest.mark.parametrize(
    ("change", "line", "told"),
    [
        (("unit: s", "units: s"), 11, ("unknown key 'units'", "did you mean unit")),
        (("kind: timeseries", "kind: graph"), 10, ("'timeseries'", "correct kind")),
        (("        unit: s\n", ""), 7, ("'unit' is missing", "add unit")),
        (("width: 12", "width: 25"), 12, ("less than or equal to 24", "correct width")),
        (("[{color: green}, {color: red, from: 1}]", "[{color: red, from: 1}]"), 13, ("not in order", "`from`")),
        (("[{color: green}", "[{color: green}, {color: red, from: 2}"), 13, ("not in order", "rise")),
    ],
)
def test_a_wrong_description_is_told_with_line_and_mend(
    tmp_path: Path, change: tuple[str, str], line: int, told: tuple[str, str]
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, GOOD.replace(*change))
    problems = [(problem.line, problem.message, problem.mend) for problem in caught.value.problems]
    assert any(at == line and told[0] in message and told[1] in mend for at, message, mend in problems), problems


def test_two_panels_with_one_id_are_told(tmp_path: Path) -> None:
    panel = GOOD[GOOD.index("      - id: 1") :]
    with pytest.raises(InputError) as caught:
        read(tmp_path, GOOD + panel.replace("title: Panel", "title: Other"))
    assert [(problem.line, problem.mend) for problem in caught.value.problems] == [(7, "use 2"), (17, "use 2")]


def test_a_directory_without_descriptions_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no description"):
        dashboards.read_all(tmp_path)


def test_what_is_wrong_in_any_board_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD.replace("unit: s", "units: s"))
    (tmp_path / "b.yaml").write_text(GOOD.replace("kind: timeseries", "kind: graph"))
    with pytest.raises(InputError) as caught:
        dashboards.build(tmp_path)
    assert {problem.file for problem in caught.value.problems} == {tmp_path / "a.yaml", tmp_path / "b.yaml"}


def test_a_panel_with_data_is_confirmed_and_asked_as_grafana_asks(tmp_path: Path) -> None:
    source = Answers({"sum(rate(a_total[1m]))": [0.0], "b": [math.nan, 2.0]})
    result = check(shown.of(read(tmp_path)), source)
    assert result.verdict is Verdict.CONFIRMED
    assert source.asked == ["sum(rate(a_total[1m]))", "b"]


@pytest.mark.parametrize(
    ("values", "verdict", "observed"),
    [([], Verdict.REFUTED, "no series"), ([math.nan], Verdict.INCONCLUSIVE, "1 series, none with a number")],
)
def test_an_empty_query_is_named(tmp_path: Path, values: list[float], verdict: Verdict, observed: str) -> None:
    result = check(shown.of(read(tmp_path)), Answers({"sum(rate(a_total[1m]))": [1.0], "b": values}))
    (bad,) = [finding for finding in result.findings if finding.verdict is not Verdict.CONFIRMED]
    assert (bad.verdict, bad.subject, bad.detail) == (verdict, "small: Panel", "b")
    assert bad.observed.startswith(observed)


def test_what_had_a_number_lately_shows_data(tmp_path: Path) -> None:
    idle = {"sum(rate(a_total[1m]))": [1.0], "b": [math.nan]}
    result = check(shown.of(read(tmp_path)), Answers(idle, before=[math.nan, 0.3]))
    assert result.verdict is Verdict.CONFIRMED
    assert result.findings[1].observed == "1 series, with numbers in the last 5 min"
    assert check(shown.of(read(tmp_path)), Answers(idle, before=[math.nan])).verdict is Verdict.INCONCLUSIVE


def test_a_query_that_prometheus_refuses_is_inconclusive(tmp_path: Path) -> None:
    result = check(
        shown.of(read(tmp_path)), Answers({"sum(rate(a_total[1m]))": [1.0], "b": GamedayError("parse error")})
    )
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "parse error" in result.findings[1].observed


def test_every_metric_of_the_board_is_one_that_the_system_names(any_board: boards.Board) -> None:
    """The prober's, Prometheus's own and the recorded series are the only others."""
    signals = (ROOT / "system" / "kit" / "signals.py").read_text()
    recorded = (ROOT / "alerts" / "_gen" / "rules.yml").read_text()
    others = ("probe_success", "probe_duration_seconds", "ALERTS", "up", "process_")
    for title, expression in ((query.panel, query.expr) for query in shown.of(any_board)):
        names = [name for name in others if name in expression]
        names += [
            word for word in expression.replace("{", " ").replace("(", " ").split() if word in recorded and ":" in word
        ]
        names += [word for word in _metrics(expression) if f'"{word}"' in signals]
        assert names, (title, expression)


def _metrics(expression: str) -> list[str]:
    words = "".join(char if char.isalnum() or char == "_" else " " for char in expression).split()
    return [
        word.removesuffix("_total").removesuffix("_count").removesuffix("_bucket").removesuffix("_sum")
        for word in words
    ]


def test_the_json_is_stable(board: boards.Board) -> None:
    assert dashboards.text(board) == dashboards.text(board)
    assert json.loads(dashboards.text(board))["uid"] == "resilience"


FOREIGN = {
    "uid": "theirs",
    "templating": {
        "list": [
            {"name": "job", "current": {"value": ["$__all"]}},
            {"name": "route", "current": {"value": ["/a", "/b"]}},
        ]
    },
    "panels": [
        {"type": "row", "panels": [{"title": "Folded", "targets": [{"expr": 'up{job=~"$job"}'}]}]},
        {
            "title": "Rate",
            "targets": [
                {"expr": 'rate(a{route=~"${route:regex}"}[$__rate_interval])', "legendFormat": "{{ route }} now"},
                {"rawSql": "select 1"},
            ],
        },
    ],
}


def test_the_json_of_others_is_read_with_its_variables(tmp_path: Path) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(FOREIGN))
    folded, rate = (query.resolved(15.0) for query in shown.read(path))
    assert (folded.board, folded.panel, folded.expr) == ("theirs", "Folded", 'up{job=~".*"}')
    assert rate.expr == 'rate(a{route=~"/a|/b"}[1m])'
    assert (rate.reach(15.0), folded.reach(15.0)) == (60.0, 15.0)
    assert rate.name({"route": "/a"}) == "/a now"
    assert folded.name({"job": "x", "instance": "y"}) == "instance=y, job=x"


@pytest.mark.parametrize("content", ["{", "[]", '{"title": "x"}', '{"panels": [{"targets": [{"expr": "up"}]}]}'])
def test_what_is_no_dashboard_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(content)
    with pytest.raises(InputError, match="not the JSON of a Grafana dashboard"):
        shown.read(path)


def test_a_panel_that_is_moved_and_static_is_told(tmp_path: Path) -> None:
    both = "        moved_by: {experiment: x, moves: up}\n        static: s\n        queries:"
    with pytest.raises(InputError) as caught:
        read(tmp_path, GOOD.replace("        queries:", both))
    assert [(problem.line, problem.mend) for problem in caught.value.problems] == [(15, "remove one of both")]


class Drawing:
    """A Prometheus that draws one series, with a gap, and refuses what is called `broken`."""

    def range(self, query: str, start: float, end: float, step: float) -> Sequence[Series]:
        if query == "broken":
            raise GamedayError("parse error")
        drawn = {0: math.nan, 2: math.inf, **{3 + each: float(each) for each in range(round((end - start) / step) - 2)}}
        return [Series({"job": "a"}, [(start + number * step, value) for number, value in drawn.items()])]


def test_what_a_panel_drew_is_kept_as_numbers_and_gaps() -> None:
    queries = [shown.Shown("b", "p", query, "{{job}}") for query in ("rate(a[$__rate_interval])", "broken")]
    drawn, refused = recording.record(queries, Drawing(), Span(100.0, 105.0), 1.0)
    assert (drawn["expr"], drawn["reach"], drawn["start"]) == ("rate(a[4s])", 4.0, 100.0)
    assert drawn["series"] == [{"name": "a", "values": [None, None, None, 0.0, 1.0, 2.0]}]
    assert (refused["series"], refused["error"]) == ([], "parse error")
    assert json.dumps(drawn, allow_nan=False)
