"""Each verdict earned on the real system: a green that nothing can turn red means nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from program import ROOT, TIME_SCALE, Gameday, gameday_in_new_state, until

pytestmark = pytest.mark.alone

HERE = ROOT / "tests/e2e"
DOWN = ROOT / "experiments/recommendation-down.yaml"
SLOW = ROOT / "experiments/recommendation-slow.yaml"
SHORT = HERE / "experiments/short.yaml"


def verdict(out: Path) -> dict[str, Any]:
    return json.loads((out / "verdict.json").read_text())


def findings(out: Path, check: str) -> list[dict[str, Any]]:
    return [found for result in verdict(out)["results"] for found in result["findings"] if found["check"] == check]


def fault_in_force(gameday: Gameday) -> dict[str, Any]:
    return until(gameday.in_force, 30, "a fault is in force")[0]


def all_well(gameday: Gameday) -> None:
    until(gameday.healthy, 15, "all services are healthy again")
    assert "nothing" in gameday.run("recover").text
    assert gameday.in_force() == []


@contextmanager
def system(*files: str) -> Iterator[Gameday]:
    with gameday_in_new_state() as new:
        named = [word for file in ("docker-compose.yml", *files) for word in ("-f", file)]
        new.run("up", *named, "--wire", "all", "--time-scale", TIME_SCALE)
        yield new


@pytest.fixture(scope="module")
def weak() -> Iterator[Gameday]:
    """No breaker, and a timeout of half a minute."""
    with system("tests/e2e/weak.yml") as new:
        yield new


@pytest.mark.parametrize("experiment", [DOWN, SLOW], ids=lambda path: path.stem)
def test_refuted_where_breaker_and_timeout_are_weak(weak: Gameday, experiment: Path, tmp_path: Path) -> None:
    ran = weak.run("experiment", "run", experiment, "--out", tmp_path, code=1, timeout=150)
    assert "refuted" in ran.text
    refuted = [found for kind in ("users", "breaker") for found in findings(tmp_path, kind)]
    refuted = [found for found in refuted if found["verdict"] == "refuted"]
    assert refuted
    for found in refuted:
        assert found["observed"]
        assert found["observed"] in ran.text.replace("\n", " ") or found["subject"] in ran.text
    assert verdict(tmp_path)["exit_code"] == 1
    assert "refuted" in weak.run("judge", tmp_path, code=1).out


def test_refuted_where_the_fallback_is_an_empty_list(tmp_path: Path) -> None:
    with system("tests/e2e/empty.yml") as empty:
        ran = empty.run("experiment", "run", SHORT, "--out", tmp_path, code=1)
    (found,) = findings(tmp_path, "users")
    assert found["verdict"] == "refuted"
    assert "recommendations.items" in found["detail"]
    assert "recommendations.items" in ran.text


def test_not_injected_where_nothing_met_the_fault(wired: Gameday, tmp_path: Path) -> None:
    ran = wired.run("experiment", "run", HERE / "experiments/unused-target.yaml", "--out", tmp_path, code=3)
    assert "not-injected" in ran.text
    (evidence,) = findings(tmp_path, "evidence")
    assert evidence["verdict"] == "not-injected"
    all_well(wired)


def test_inconclusive_where_prometheus_is_stopped_during_the_run(wired: Gameday, tmp_path: Path) -> None:
    with wired.running("experiment", "run", DOWN, "--out", tmp_path) as process:
        fault_in_force(wired)
        os.kill(wired.services()["prometheus"]["pid"], signal.SIGSTOP)
        try:
            assert process.wait(90) == 3, wired.output()
        finally:
            os.kill(wired.services()["prometheus"]["pid"], signal.SIGCONT)
    assert "inconclusive" in wired.output()
    all_well(wired)


def test_leaked_where_the_undo_fails_and_recover_mends_it(wired: Gameday, tmp_path: Path) -> None:
    """Somebody takes the port of the dead service, so that it cannot be started again."""
    port = int(wired.services()["recommendation-svc"]["url"].rpartition(":")[2])
    with socket.socket() as thief, wired.running("experiment", "run", SHORT, "--out", tmp_path) as process:
        fault_in_force(wired)
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        assert process.wait(150) == 4, wired.output()
    assert "leaked" in wired.output()
    assert "gameday re" in wired.output()
    ran = wired.run("recover")
    assert "recommendation-svc" in ran.text
    all_well(wired)


def test_ctrl_c_in_the_fault_window_undoes_the_fault(wired: Gameday) -> None:
    with wired.running("experiment", "run", DOWN) as process:
        fault_in_force(wired)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130, wired.output()
    assert wired.in_force() == []
    all_well(wired)


def test_a_second_gate_is_refused_while_one_runs(wired: Gameday) -> None:
    with wired.running("experiment", "run", DOWN) as process:
        fault_in_force(wired)
        ran = wired.run("gate", code=2)
        assert "mend:" in ran.err
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    all_well(wired)


def source(gameday: Gameday) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{gameday.port}/api/homepage", timeout=5) as answer:
            return str(json.load(answer)["recommendations"]["source"])
    except (urllib.error.URLError, KeyError, TypeError) as error:
        return str(error)


def test_stock_chaos_run_injects_holds_and_rolls_back(wired: Gameday, tmp_path: Path) -> None:
    log, journal = tmp_path / "chaos.log", tmp_path / "journal.json"
    shell = f'eval "$(gameday env)"; exec chaos --no-version-check --log-file {log} run --journal-path {journal} {DOWN}'
    process = subprocess.Popen(
        ["bash", "-c", shell], cwd=ROOT, env=wired.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        fault_in_force(wired)
        until(lambda: source(wired) == "fallback", 10, "users are on fallback while the fault is held")
        output, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            process.kill()
    told = json.loads(journal.read_text())
    assert (process.returncode, told["status"], told["deviated"]) == (0, "completed", False), output
    ran = told["run"] + told["rollbacks"]
    assert {activity["activity"]["name"]: activity["status"] for activity in ran} == {
        activity["activity"]["name"]: "succeeded" for activity in ran
    }
    until(lambda: source(wired) != "fallback", 15, "users get the model's answers again")
    all_well(wired)
