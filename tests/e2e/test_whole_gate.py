"""The README's first command, from nothing to a report; and after a gate that was killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from program import ROOT, Gameday, until

pytestmark = pytest.mark.alone


@pytest.fixture
def small() -> Iterator[Path]:
    """The whole system, of whose experiments one has to do: all of them are what the gate itself is for.

    It lies in this checkout, whose commands need no approval.
    """
    (ROOT / ".gameday").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".gameday") as name:
        project = Path(name)
        for path in ("docs", "contracts", "deploy", "loadtests", "system"):
            (project / path).symlink_to(ROOT / path)
        shutil.copytree(ROOT / "alerts", project / "alerts")
        waive_all_but("RecommendationUnavailable", project / "alerts/slos.toml")
        (project / "experiments").mkdir()
        for path in ("docker-compose.yml", "experiments/recommendation-down.yaml"):
            shutil.copy(ROOT / path, project / path)
        yield project / "docker-compose.yml"


def waive_all_but(proven: str, slos: Path) -> None:
    # The others wait for experiments that are not here.
    text = slos.read_text().partition("[[waiver]]")[0]
    others = [alert for alert in re.findall(r'^alert = "(\w+)"', text, re.MULTILINE) if alert != proven]
    waivers = [
        f'[[waiver]]\nalert = "{each}"\nreason = "told elsewhere"\nowner = "tests"\nuntil = 2999-01-01'
        for each in others
    ]
    slos.write_text("\n\n".join((text, *waivers)))


def test_after_a_gate_was_killed_in_the_fault_window_the_next_one_is_green(
    gameday: Gameday, small: Path, tmp_path: Path
) -> None:
    with gameday.running("gate", "experiments", "-f", small) as process:
        until(gameday.ready, 60, "the system is up")
        until(gameday.in_force, 60, "a fault is in force")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not gameday.in_force(), 15, "the lease ends with its owner")
    until(gameday.healthy, 15, "all services are healthy again")
    assert "nothing" in gameday.run("recover").text
    assert [line for line in gameday.processes() if "locust" in line or "chaostoolkit" in line] == []

    ran = subprocess.run(
        ["script/gate", "-f", small, "--out", tmp_path / "out"],
        cwd=ROOT,
        env=gameday.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report(tmp_path / "out")
    proven = gameday.run("alerts", "prove", tmp_path / "out", "-f", small)
    assert "kill recommendation-svc" in proven.out
    for history in (tmp_path / "out").rglob("journal.jsonl"):
        judged = gameday.run("judge", history.parent)
        assert "confirmed" in judged.out.lower()


def report(out: Path) -> None:
    verdict = json.loads((out / "verdict.json").read_text())
    jsonschema.validate(verdict, json.loads((ROOT / "docs/verdict.schema.json").read_text()))
    assert (verdict["verdict"], verdict["exit_code"]) == ("confirmed", 0)
    assert {result["suite"] for result in verdict["results"]} >= {"contracts", "experiments", "load", "alerts"}
    assert len([result for result in verdict["results"] if result["suite"] == "experiments"]) == 1
    assert "confirmed" in (out / "summary.md").read_text()
    suites = ET.parse(out / "junit.xml").getroot()
    assert suites.findall(".//testcase")
    assert not suites.findall(".//failure")
    assert not suites.findall(".//error")
    assert not suites.findall(".//skipped")
    page = (out / "report.html").read_text()
    assert "<script src=" not in page
    assert "<link rel=" not in page
