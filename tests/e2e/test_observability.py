"""Alerts and dashboards from the command line: generated, judged, and empty ones found out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from program import ROOT, Gameday


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """A copy of the board's description, to be spoilt."""
    shutil.copytree(ROOT / "dashboards", tmp_path / "dashboards")
    return tmp_path / "dashboards"


def test_generated_files_that_are_out_of_date_are_refuted_and_mended_by_a_build(
    gameday: Gameday, project: Path
) -> None:
    slos = project / "alerts" / "slos.toml"
    slos.write_text(slos.read_text().replace("share = 10", "share = 20"))
    refuted = gameday.run("alerts", "test", cwd=project, code=1)
    assert "alerts/_gen/rules.yml" in refuted.out
    assert "gameday alerts build" in refuted.out
    gameday.run("alerts", "build", cwd=project)
    gameday.run("alerts", "test", cwd=project)


def test_a_wrong_key_in_the_slo_file_is_told_with_line_and_mend(gameday: Gameday, project: Path) -> None:
    slos = project / "alerts" / "slos.toml"
    slos.write_text(slos.read_text().replace("objective =", "objectiv ="))
    told = gameday.run("alerts", "build", cwd=project, code=2).err
    assert "alerts/slos.toml:13: unknown key 'objectiv'" in told
    assert "did you mean objective" in told


def test_scaled_files_do_not_replace_those_of_production(gameday: Gameday, project: Path) -> None:
    told = gameday.run("alerts", "build", "--time-scale", "30", cwd=project, code=2).err
    assert "--out" in told
    gameday.run("alerts", "build", "--time-scale", "30", "--out", project / "x30", cwd=project)
    assert "[10s]" in (project / "x30" / "rules.yml").read_text()


def test_a_panel_that_shows_nothing_is_named_with_its_query(wired: Gameday, boards: Path) -> None:
    wired.run("dashboards", "check", "--dir", boards)
    description = boards / "resilience.yaml"
    description.write_text(description.read_text().replace("(circuit_breaker_state)", "(circuit_braker_state)"))
    refuted = wired.run("dashboards", "check", "--dir", boards, code=1)
    assert "resilience: Breaker state: no series" in refuted.out
    assert "max by (edge) (circuit_braker_state)" in refuted.out


def test_dashboards_are_checked_only_on_a_running_system(gameday: Gameday) -> None:
    assert "gameday up" in gameday.run("dashboards", "check", code=2).err


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [("localhost:3000", 2, "use http://host:port"), ("http://127.0.0.1:9", 3, "http://127.0.0.1:9")],
)
def test_a_grafana_that_cannot_be_reached_is_told(gameday: Gameday, url: str, code: int, told: str) -> None:
    assert told in gameday.run("dashboards", "push", "--url", url, "--token", "t", code=code).err
