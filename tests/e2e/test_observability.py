"""Alerts and dashboards from the command line: generated, judged, and empty ones found out."""

from __future__ import annotations

import re
import shutil
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from program import ROOT, TIME_SCALE, Gameday, until

# Those of hours and days, whose tests take promtool long.
LONG_ARM = re.compile(r'\[\[slo\.arm\]\]\n(?!severity = "page"\nlong = "1h").*?\n\n', re.DOTALL)


def passes(gameday: Gameday, *arguments: str) -> bool:
    with suppress(AssertionError):
        gameday.run(*arguments)
        return True
    return False


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """A copy of the boards that show something where nobody asks for anything, to be spoilt."""
    for name in ("overview.yaml", "resilience.yaml"):
        shutil.copy(ROOT / "dashboards" / name, tmp_path)
    return tmp_path


def test_generated_files_that_are_out_of_date_are_refuted_and_mended_by_a_build(
    gameday: Gameday, project: Path
) -> None:
    slos = project / "alerts" / "slos.toml"
    # Without the arms of days, whose tests take long, and with the first of the lost edges.
    promised, first, *_ = slos.read_text().split("[[fallback]]")
    quick = (
        re.sub(r'\[\[slo\.arm\]\]\n(?!severity = "page"\nlong = "1h").*?\n\n', "", promised, flags=re.DOTALL)
        + f"[[fallback]]{first}"
    )
    slos.write_text(quick.replace("share = 10", "share = 20"))
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


@pytest.mark.alone
def test_a_panel_that_shows_nothing_is_named_with_its_query(wired: Gameday, boards: Path) -> None:
    wired.run("dashboards", "check", "--dir", boards)
    description = boards / "resilience.yaml"
    description.write_text(description.read_text().replace("(circuit_breaker_state)", "(circuit_braker_state)"))
    refuted = wired.run("dashboards", "check", "--dir", boards, code=1)
    assert "resilience: Breaker state: no series" in refuted.out
    assert "max by (edge) (circuit_braker_state)" in refuted.out


@pytest.mark.alone
def test_a_rule_that_could_never_speak_is_named_with_its_line(wired: Gameday, tmp_path: Path) -> None:
    # What the tests before this one broke is over, and their alerts with it.
    until(lambda: passes(wired, "alerts", "check"), 60, "a rule is refuted")
    generated = wired.state / f"alerts-x{TIME_SCALE}"
    rules = tmp_path / "rules.yml"
    spoilt = (generated / "rules.yml").read_text().replace("fallback_total{edge=", "fallbacks_total{edge=", 1)
    rules.write_text(spoilt)
    refuted = wired.run("alerts", "check", rules, "--tests", generated / "rules_test.yml", code=1)
    assert "there is no series fallbacks_total: did you mean fallback_total" in refuted.out


def test_dashboards_are_checked_only_on_a_running_system(gameday: Gameday) -> None:
    assert "gameday up" in gameday.run("dashboards", "check", code=2).err


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [("localhost:3000", 2, "use http://host:port"), ("http://127.0.0.1:9", 3, "http://127.0.0.1:9")],
)
def test_a_grafana_that_cannot_be_reached_is_told(gameday: Gameday, url: str, code: int, told: str) -> None:
    assert told in gameday.run("dashboards", "push", "--url", url, "--token", "t", code=code).err


@pytest.mark.alone
def test_a_request_is_one_trace_across_the_services_that_it_crossed(wired: Gameday) -> None:
    identifier = uuid.uuid4().hex
    sent = {"traceparent": f"00-{identifier}-{'1' * 16}-01"}
    with urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{wired.port}/api/homepage", headers=sent)
    ) as answer:
        assert answer.status == 200

    def kept() -> bool:
        rows = wired.run("trace", "--limit", "500", "--json").json
        crossed = next((row["services"] for row in rows if row["trace"] == identifier), [])
        return {"api-gateway", "recommendation-svc"} <= set(crossed)

    until(kept, 30, "the spans of both services are kept")
    drawn = wired.run("trace", identifier).out
    assert drawn.index("GET /api/homepage") < drawn.index("get-recommendations")
    assert "█" in drawn


@pytest.mark.alone
def test_a_trace_that_is_not_kept_is_told(wired: Gameday) -> None:
    assert "no trace" in wired.run("trace", "f" * 32, code=3).err
