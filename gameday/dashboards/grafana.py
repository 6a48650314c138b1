"""A board in Grafana's own format, through its foundation SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from gameday.dashboards.board import Board, Panel, Query, Row

_DATASOURCE = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_KINDS: Mapping[str, Any] = {"timeseries": timeseries.Panel, "stat": stat.Panel, "state": statetimeline.Panel}
# Rows are panels too and need ids of their own.
_ROW_IDS = 1000


def render(board: Board) -> dict[str, Any]:
    """The dashboard's JSON model. The same board always gives the same model."""
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([*board.tags])
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for number, row in enumerate(board.rows):
        _add(builder, row, _ROW_IDS + number)
    model: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
    return model


def _add(builder: dashboard.Dashboard, row: Row, number: int) -> None:
    builder.with_row(dashboard.Row(row.title).id(number))
    for panel in row.panels:
        builder.with_panel(_panel(panel))


def _panel(panel: Panel) -> Any:
    builder: Any = (
        _KINDS[panel.kind]()
        .id(panel.id)
        .title(panel.title)
        .description(panel.description)
        .datasource(_DATASOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(panel.height)
        .thresholds(_thresholds(panel))
    )
    for number, query in enumerate(panel.queries):
        builder.with_target(_query(query, chr(ord("A") + number)))
    for name in ("decimals", "min", "max"):
        if (value := getattr(panel, name)) is not None:
            getattr(builder, name)(value)
    if panel.states:
        builder.mappings([_states(panel)])
    return _styled(builder, panel)


def _styled(builder: Any, panel: Panel) -> Any:
    if panel.kind == "timeseries":
        builder.line_width(2).fill_opacity(8).tooltip(
            common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
        )
        if len(panel.thresholds) > 1:
            builder.thresholds_style(
                common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
            )
    if panel.kind == "stat":
        builder.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if panel.kind == "state":
        builder.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    return builder


def _query(query: Query, ref: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(ref).datasource(_DATASOURCE)


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(value=threshold.start, color=threshold.color) for threshold in panel.thresholds]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _states(panel: Panel) -> models.ValueMap:
    options = {
        value: models.ValueMappingResult(text=text, index=index)
        for index, (value, text) in enumerate(panel.states.items())
    }
    return models.ValueMap(options=options)
