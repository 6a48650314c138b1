"""Boards on the page: from Grafana's JSON to what Prometheus is asked and what Plotly draws."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gameday.errors import GamedayError, InputError
from gameday.tools.prometheus import Series
from gameday.view import board as boards
from gameday.view import figure
from gameday.view.board import Panel, Range
from gameday.view.units import unit

ROOT = Path(__file__).parents[2]
ASKED = Range(start=1000.0, end=1060.0, step=5.0, scrape=5.0)
GENERATED = sorted((ROOT / "dashboards/_gen").glob("*.json"))


def model(**panel: Any) -> dict[str, Any]:
    told = {
        "id": 7,
        "title": "Latency",
        "type": "timeseries",
        "gridPos": {"x": 6, "y": 1, "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": "s", "min": 0}},
        "targets": [{"expr": "a", "legendFormat": "{{edge}} of {{job}}"}, {"expr": "b", "hide": True}],
    }
    return {"uid": "small", "title": "Small", "time": {"from": "now-15m"}, "panels": [told | panel]}


def read(directory: Path, told: dict[str, Any]) -> boards.Board:
    path = directory / "small.json"
    path.write_text(json.dumps(told))
    return boards.read(path)


def panel(kind: str = "timeseries", **told: Any) -> Panel:
    query = boards.Query("a", "{{edge}}")
    return Panel(1, "P", "", kind, "none", {"x": 0, "y": 0, "w": 12, "h": 8}, (query,), **told)


def shown(*points: tuple[float, float], edge: str = "a->b") -> list[figure.Line]:
    return figure.lines(panel(), [[Series({"edge": edge}, points)]])


def steady(value: float) -> list[tuple[float, float]]:
    return [(wall, value) for wall in (1045.0, 1050.0, 1055.0, 1060.0)]


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_every_panel_of_every_generated_board_can_be_drawn(path: Path) -> None:
    board = boards.read(path)
    drawn = [each for each in board.panels if each.kind != "row"]
    assert drawn
    for each in drawn:
        assert each.queries
        for query in each.queries:
            assert "$" not in boards.expression(query.expr, {}, ASKED)
        told = figure.draw(each, [figure.Line("one", steady(1.0))], ASKED)
        assert told.silent == ""
        assert told.figure["data"]


def test_a_board_is_read_as_grafana_reads_it(tmp_path: Path) -> None:
    board = read(tmp_path, model())
    assert (board.uid, board.title, board.seconds) == ("small", "Small", 900.0)
    found = board.panel(7)
    assert (found.kind, found.unit, found.low, found.place["w"]) == ("timeseries", "s", 0, 12)
    assert [query.expr for query in found.queries] == ["a"]
    assert found.queries[0].name({"edge": "a->b", "job": "web"}) == "a->b of web"


def test_panels_of_a_folded_row_are_shown(tmp_path: Path) -> None:
    told = model()
    row = {"id": 1, "type": "row", "title": "Row", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}}
    told["panels"] = [row | {"panels": told["panels"]}]
    assert [each.title for each in read(tmp_path, told).panels] == ["Row", "Latency"]


@pytest.mark.parametrize("told", ["[]", "{", '{"title": "x", "panels": [{"type": "stat"}]}'])
def test_what_is_no_board_is_told_with_its_file(tmp_path: Path, told: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(told)
    with pytest.raises(InputError) as caught:
        boards.read(path)
    assert caught.value.problems[0].file == path


def test_grafanas_variables_are_resolved() -> None:
    asked = Range.last(3600, now=10_007.0, scrape=15.0)
    assert (asked.step, asked.end, asked.end - asked.start) == (15.0, 9_995.0 + 10, 3600)
    resolve = boards.expression
    assert resolve("rate(a[$__rate_interval])", {}, asked) == "rate(a[1m])"
    assert resolve("a[${__interval}] b[$__range]", {}, asked) == "a[15s] b[1h]"
    assert resolve('a{edge=~"$edge", job="${job:raw}"}', {"edge": "x", "job": "y"}, asked) == 'a{edge=~"x", job="y"}'
    assert resolve('a{edge=~"$edge"}', {"edge": boards.ALL}, asked) == 'a{edge=~".*"}'


def test_a_variable_without_a_value_is_told_and_never_asked_as_it_stands() -> None:
    with pytest.raises(GamedayError, match=r"\$edge has no value"):
        boards.expression('a{edge="$edge"}', {}, ASKED)


def test_variables_have_the_values_of_a_list_or_of_a_label(tmp_path: Path) -> None:
    told = model() | {
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource"},
                {"name": "q", "type": "custom", "query": "p50, p99", "current": {"value": ["p99"]}},
                {"name": "edge", "type": "query", "query": {"query": "label_values(up{}, edge)"}, "includeAll": True},
                {"name": "job", "type": "query", "query": "label_values(job)"},
            ]
        }
    }  # fmt: skip
    quantile, edge, job = read(tmp_path, told).variables
    assert (quantile.listed(), quantile.default, quantile.label_values()) == (["p50", "p99"], "p99", None)
    assert (edge.label_values(), edge.every) == (("up{}", "edge"), True)
    assert job.label_values() == (None, "job")


def test_what_has_no_number_is_silent_and_what_stopped_says_since_when() -> None:
    assert figure.draw(panel(), [], ASKED).silent == "no data"
    assert figure.draw(panel(), shown((1055.0, math.nan)), ASKED).silent == "no data"
    assert figure.draw(panel(), shown((1000.0, 1.0), (1005.0, 1.0)), ASKED).silent == "no data since 00:16:45 UTC"
    assert figure.draw(panel(), shown(*steady(1.0)), ASKED).silent == ""
    assert "Grafana only" in figure.draw(panel("heatmap"), shown(*steady(1.0)), ASKED).silent


def test_a_line_breaks_where_nothing_was_heard() -> None:
    (trace,) = figure.draw(
        panel(), shown((1000.0, 1.0), (1005.0, 2.0), (1055.0, math.inf), (1060.0, 3.0)), ASKED
    ).figure["data"]
    assert trace["y"] == [1.0, 2.0, None, None, 3.0]
    assert trace["x"][0] == 1_000_000
    json.dumps(trace, allow_nan=False)


def test_a_number_is_that_of_now_in_the_colour_of_its_threshold() -> None:
    steps = ((None, "red"), (0.99, "semi-dark-orange"), (0.999, "#00ff00"))
    for value, colour in ((0.5, "--failed"), (0.99, "--other"), (1.0, "#00ff00")):
        (number,) = figure.draw(panel("stat", steps=steps), shown(*steady(value)), ASKED).figure["data"]
        assert (number["value"], number["number"]["font"]["color"]) == (value, colour)
    stale = figure.draw(panel("stat", steps=steps), shown((1000.0, 1.0)), ASKED)
    assert stale.silent == "no data since 00:16:40 UTC"


def test_of_what_stopped_there_is_no_number_beside_those_that_go_on() -> None:
    lines = [*shown(*steady(1.0), edge="alive"), *shown((1000.0, 1.0), edge="dead")]
    drawn = figure.draw(panel("stat", steps=((None, "green"),)), lines, ASKED)
    alive, dead = drawn.figure["data"]
    assert (alive["title"]["text"], alive["value"], alive["number"]["font"]["color"]) == ("alive", 1.0, "--confirmed")
    assert (dead["title"]["text"], dead["value"], dead["number"]["font"]["color"]) == ("dead: no data", None, "--muted")


def test_a_state_lasts_until_another_one_or_until_nothing_is_heard() -> None:
    points = [(1000.0, 0.0), (1005.0, 0.0), (1010.0, 2.0), (1015.0, 2.0), (1050.0, 2.0), (1055.0, math.nan)]
    told = panel("state-timeline", states={"0": "closed", "2": "open"}, steps=((None, "green"), (2.0, "red")))
    closed, opened = figure.draw(told, shown(*points), ASKED).figure["data"]
    assert (closed["name"], closed["base"], closed["x"]) == ("closed", [1_000_000], [10_000])
    assert (opened["name"], opened["base"], opened["x"]) == ("open", [1_010_000, 1_050_000], [10_000, 5_000])
    assert (closed["marker"]["color"], opened["marker"]["color"]) == ("--confirmed", "--failed")


def test_thresholds_are_lines_where_the_board_says_so() -> None:
    steps = ((None, "green"), (14.4, "red"))
    (line,) = figure.draw(panel(steps=steps, dashed=True), shown(*steady(1.0)), ASKED).figure["layout"]["shapes"]
    assert (line["y0"], line["line"]["color"]) == (14.4, "--failed")
    assert figure.draw(panel(steps=steps), shown(*steady(1.0)), ASKED).figure["layout"]["shapes"] == []


def test_units_are_grafanas() -> None:
    assert unit("percentunit", 2).format == ",.2%"
    assert (unit("s").format, unit("s", 3).suffix) == (".3~s", "s")
    assert unit("none", 1).format == ",.1f"
    assert unit("suffix:parrots").suffix == " parrots"
