"""Each verdict earned on the real system: a green that nothing can turn red means nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from program import ROOT, TIME_SCALE, Gameday, gameday_in_new_state, until

pytestmark = pytest.mark.alone

HERE = ROOT / "tests/e2e"
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
        # What the experiment needs, and no more: the other system runs beside it. Without jaeger SpansLost would fire.
        new.run("up", "api-gateway", "prometheus", "jaeger", *named, "--wire", "all", "--time-scale", TIME_SCALE)
        yield new


@pytest.fixture(scope="module")
def weak() -> Iterator[Gameday]:
    """A fallback with nothing in it. `bench/weakened.py` takes each guard of each experiment away."""
    with system("tests/e2e/weak.yml") as new:
        yield new


def test_refuted_where_a_guard_is_weak(weak: Gameday, tmp_path: Path) -> None:
    ran = weak.run("experiment", "run", SHORT, "--out", tmp_path, code=1, timeout=150)
    (found,) = findings(tmp_path, "users")
    assert found["verdict"] == "refuted"
    assert "recommendations.items" in found["detail"]
    assert found["observed"]
    assert "refuted" in ran.text
    assert "recommendations.items" in ran.text
    assert verdict(tmp_path)["exit_code"] == 1
    assert "refuted" in weak.run("judge", tmp_path, code=1).out


def test_not_injected_where_nothing_met_the_fault(wired: Gameday, tmp_path: Path) -> None:
    ran = wired.run("experiment", "run", HERE / "experiments/unused-target.yaml", "--out", tmp_path, code=3)
    assert "not-injected" in ran.text
    (evidence,) = findings(tmp_path, "evidence")
    assert evidence["verdict"] == "not-injected"
    all_well(wired)


def test_inconclusive_where_prometheus_is_stopped_during_the_run(wired: Gameday, tmp_path: Path) -> None:
    with wired.running("experiment", "run", SHORT, "--out", tmp_path) as process:
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
    # The keeper tries once more when the owner of a lease has gone, and may have been first.
    ended = [lease["state"] for lease in wired.call("leases") if lease["target"] == "recommendation-svc"][-1]
    assert ended in ("undone", "expired")
    assert "recommendation-svc" in ran.text or ended == "expired", ran
    all_well(wired)


def test_a_second_gate_is_refused_while_one_runs_and_ctrl_c_undoes_its_fault(wired: Gameday, tmp_path: Path) -> None:
    # More requests than there ever are: the fault is in force until Ctrl-C, however slow the second gate is.
    lasting = tmp_path / "lasting.yaml"
    lasting.write_text(SHORT.read_text().replace("of 100", "of 100000"))
    with wired.running("experiment", "run", lasting) as process:
        fault_in_force(wired)
        assert "mend:" in wired.run("gate", code=2).err
        assert wired.in_force()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130, wired.output()
    assert wired.in_force() == []
    all_well(wired)
