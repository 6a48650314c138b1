"""A board as its YAML file describes it, read strictly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gameday.errors import InputError, Problem
from gameday.movement import Direction
from gameday.yamlfile import YamlFile

COLUMNS = 24

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Query(_Strict):
    expr: Text
    legend: Text


class Threshold(_Strict):
    """From the value `from` on the colour is `color`; the first has no lower end."""

    color: Text
    start: float | None = Field(default=None, alias="from")


class MovedBy(_Strict):
    """The experiment whose fault moves the panel; with `series` (a legend) that series of it, else any."""

    experiment: Text
    moves: Direction
    series: Text | None = None


class Panel(_Strict):
    """`unit` is one of Grafana's, `width` of 24 columns; `states` names the values of a state panel.

    A panel says what moves it, or why nothing does (`static`); else anything that moves it proves it.
    """

    id: int = Field(gt=0)
    title: Text
    description: Text
    kind: Literal["timeseries", "stat", "state"]
    unit: Text
    width: int = Field(gt=0, le=COLUMNS)
    height: int = Field(default=8, gt=1)
    decimals: int | None = Field(default=None, ge=0)
    min: float | None = None
    max: float | None = None
    thresholds: tuple[Threshold, ...] = Field(min_length=1)
    states: Mapping[str, str] = {}
    queries: tuple[Query, ...] = Field(min_length=1)
    moved_by: MovedBy | None = None
    static: Text | None = None


class Row(_Strict):
    title: Text
    panels: tuple[Panel, ...] = Field(min_length=1)


class Board(_Strict):
    uid: Slug
    title: Text
    description: Text
    tags: tuple[str, ...] = ()
    rows: tuple[Row, ...] = Field(min_length=1)

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for row in self.rows for panel in row.panels)


def read(path: Path) -> Board:
    """Raises InputError with everything that is wrong, each with its line."""
    file = YamlFile.read(path)
    board: Board = file.validate(Board, file.data)
    if problems := list(_inconsistent(file, board)):
        raise InputError(problems)
    return board


def _inconsistent(file: YamlFile, board: Board) -> Iterator[Problem]:
    ids = Counter(panel.id for panel in board.panels)
    titles = Counter(panel.title for panel in board.panels)
    for row_number, row in enumerate(board.rows):
        for number, panel in enumerate(row.panels):
            at = ("rows", row_number, "panels", number)
            if ids[panel.id] > 1:
                yield file.problem((*at, "id"), "two panels have this id", f"use {max(ids) + 1}", panel.id)
            if titles[panel.title] > 1:
                yield file.problem((*at, "title"), "two panels have this title", "give each its own", panel.title)
            if panel.moved_by and panel.static:
                yield file.problem((*at, "static"), "a panel that something moves is not static", "remove one of both")
            starts = [threshold.start for threshold in panel.thresholds]
            if starts[0] is not None or None in starts[1:] or starts[1:] != sorted(starts[1:], key=lambda s: s or 0):
                mend = "leave `from` out of the first only, and let the others rise"
                yield file.problem((*at, "thresholds"), "thresholds are not in order", mend)
