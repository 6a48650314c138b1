"""The pytest plugin, as a person uses it: the page's own example, and tests that must not pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from program import ROOT, Gameday

pytestmark = pytest.mark.alone

MUST_FAIL = """
import time

import httpx
import pytest


@pytest.mark.fault("down", "api-gateway->content-svc")
def test_that_asks_nothing(system):
    pass


@pytest.mark.fault("kil", "recommendation-svc")
def test_with_a_misspelt_fault():
    pass


def test_with_a_misspelt_edge(edge):
    edge("api-gateway->recomendation-svc")


def test_with_a_misspelt_argument(edge):
    with edge("api-gateway->recommendation-svc").fault("latency", latenzy=3):
        pass


@pytest.mark.fault("kill")
def test_without_a_target():
    pass


@pytest.mark.fault("down", "api-gateway->recommendation-svc", lease="300ms")
def test_that_outlives_its_fault(system):
    httpx.get(system.url("api-gateway") + "/api/homepage", timeout=5)
    time.sleep(1)


@pytest.mark.fault("down", "api-gateway->recommendation-svc")
def test_whose_own_failure_is_told(system):
    httpx.get(system.url("api-gateway") + "/api/homepage", timeout=5)
    assert "own" == "failure"


def test_that_all_is_whole_again(system):
    with httpx.Client(base_url=system.url("api-gateway"), timeout=5) as client:
        assert client.get("/api/homepage").status_code == 200
"""


def own_tests(gameday: Gameday, directory: Path, source: str, *more: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_own.py").write_text(source)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rA",
        "-p",
        "no:cacheprovider",
        "--gameday-file",
        ROOT / "docker-compose.yml",
    ]
    environment = gameday.env | {"COLUMNS": "200"}
    return subprocess.run(
        [*command, *more, "test_own.py"], cwd=directory, env=environment, capture_output=True, text=True, timeout=120
    )


def open_faults(gameday: Gameday) -> list[str]:
    faults = gameday.run("status", "--json").json["faults"]
    return [each["fault"] for each in faults if each["state"] in ("intended", "in-force", "leaked")]


def test_the_example_of_the_page_passes(wired: Gameday, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/pytest.md").read_text(), re.DOTALL)
    ran = own_tests(wired, tmp_path, example)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout
    assert open_faults(wired) == []


def test_what_shows_nothing_fails_and_says_why(wired: Gameday, tmp_path: Path) -> None:
    ran = own_tests(wired, tmp_path, MUST_FAIL)
    assert "1 passed" in ran.stdout and "7 failed" in ran.stdout, ran.stdout + ran.stderr
    assert "::test_that_all_is_whole_again" in next(each for each in ran.stdout.splitlines() if "PASSED" in each)
    assert "During handling" not in ran.stdout, ran.stdout
    for told in (
        "nothing met down api-gateway->content-svc",
        "did you mean 'kill'?",
        "did you mean 'api-gateway->recommendation-svc'?",
        "latenzy",
        "give it a lease longer than 300ms",
        "pytest.mark.fault has 1 arguments",
        "assert 'own' == 'failure'",
    ):
        assert told in ran.stdout, told
    assert open_faults(wired) == []


def test_several_processes_and_an_unwired_system_are_refused(wired: Gameday, tmp_path: Path) -> None:
    ran = own_tests(wired, tmp_path, "def test_one(system): pass\n", "-n", "2")
    assert "-n 0" in ran.stdout and ran.returncode == 1, ran.stdout + ran.stderr
    other = own_tests(wired, tmp_path, "def test_one(system): pass\n", "--gameday-time-scale", "7")
    assert "another system runs" in other.stdout and other.returncode == 1, other.stdout + other.stderr
