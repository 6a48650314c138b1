"""What the help and the README tell people to type works when it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from program import ROOT, Gameday

sys.path.insert(0, str(ROOT / "tests/repo"))

from commands import EXAMPLES, typed

pytestmark = pytest.mark.alone

# What takes long or ends the system is executed by a story of its own.
TOLD_ELSEWHERE = {
    "script/test": "this very run",
    "script/gate": "test_whole_gate.py",
    "gameday gate": "test_whole_gate.py",
    "gameday up --wire all --time-scale 30": "the fixture wired",
    "gameday down": "the end of every fixture",
    EXAMPLES["judge"]: "test_verdicts.py, on a run that there is",
    EXAMPLES["diff"]: "test_comparison.py, on runs that there are",
    EXAMPLES["alerts prove"]: "test_whole_gate.py, on a gate that there is",
    EXAMPLES["dashboards check"]: "test_observability.py, on the boards that an idle system fills",
    EXAMPLES["dashboards prove"]: "test_panels.py, on histories that there are",
    EXAMPLES["alerts check"]: "test_observability.py, before anything is broken",
    EXAMPLES["alerts import"]: "test_alert_exchange.py, with a file that there is",
    EXAMPLES["dashboards push"]: "the integration tests of dashboards, with a Grafana of their own",
    EXAMPLES["contracts can-deploy"]: "test_contracts_deploy.py, after a verification",
    EXAMPLES["toxiproxy"]: "test_toxiproxy_client.py",
    EXAMPLES["view"]: "test_view_of_a_system.py",
    EXAMPLES["gate"]: "test_whole_gate.py, with all suites",
    "gameday experiment run experiments/recommendation-down.yaml": "test_whole_gate.py",
}
TYPED = dict.fromkeys([*EXAMPLES.values(), *typed(ROOT / "README.md")])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This checkout, but what a command writes into it goes elsewhere."""
    for path in ROOT.iterdir():
        if path.name not in (".git", ".gameday"):
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.mark.parametrize("command", [command for command in TYPED if command and command not in TOLD_ELSEWHERE])
def test_it_works_as_it_stands(wired: Gameday, checkout: Path, command: str) -> None:
    ran = subprocess.run(
        ["bash", "-euc", command],
        cwd=checkout,
        env=wired.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
