"""Leases seen from a shell: `gameday recover`, crashes, and stock Chaos Toolkit."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from program import PROGRAM, Gameday, until

HERE = Path(__file__).parent
STOCK = HERE / "experiments" / "stock-pause.yaml"
NOTHING = "nothing is left: no fault is in force"


@pytest.fixture
def small(gameday: Gameday) -> Gameday:
    environment = {"GAMEDAY_UNDO_SECONDS": "8"}
    gameday.run("up", "-f", HERE / "recover.yml", "--trust", "--wire", "all", env=environment)
    return gameday


def inject(gameday: Gameday, fault: str, target: str, **arguments: Any) -> dict[str, Any]:
    lease: dict[str, Any] = gameday.call("inject", fault=fault, target=target, arguments=arguments, ttl=60, run="a-run")
    assert lease["state"] == "in-force", lease
    return lease


def kill(gameday: Gameday, *names: str) -> None:
    told = json.loads((gameday.state / "supervisor.json").read_text())
    for name in names:
        os.kill(told[name], signal.SIGKILL)


def test_where_nothing_ever_ran_nothing_is_left(gameday: Gameday) -> None:
    assert gameday.run("recover").out.strip() == NOTHING
    assert not gameday.state.exists()


def test_a_fault_that_a_run_holds_is_shown_and_undone_with_all(small: Gameday) -> None:
    lease = inject(small, "latency", "web->api", latency=100)
    shown = small.run("recover").out
    assert lease["id"] in shown
    assert "held by a-run; mend: gameday recover --all" in shown
    assert NOTHING not in shown
    undone = small.run("recover", "--all").out
    assert f"mended latency on web->api ({lease['id']})" in undone
    assert NOTHING in undone
    assert small.run("recover", "--json").json == {"mended": [], "ended": [], "in_force": [], "leaked": []}


def test_after_the_supervisor_was_killed_its_leases_are_closed(small: Gameday) -> None:
    leases = [inject(small, "pause", "api"), inject(small, "latency", "web->api", latency=100)]
    kill(small, "pid")
    small.nothing_left(2)
    said = small.run("recover").out
    for lease in leases:
        assert f"({lease['id']}): the system that held it has ended" in said
    assert small.run("recover").out.strip() == NOTHING


def test_after_supervisor_and_guardian_were_killed_recover_ends_what_lives_on(small: Gameday) -> None:
    lease = inject(small, "pause", "api")
    kill(small, "guardian", "pid")
    said = small.run("recover").out
    assert "had outlived its supervisor" in said
    assert f"({lease['id']}): the system that held it has ended" in said
    small.nothing_left(1)
    assert small.run("recover").out.strip() == NOTHING


def test_a_leaked_lease_is_4_until_it_can_be_mended(small: Gameday) -> None:
    port = int(small.services()["api"]["url"].rpartition(":")[2])
    lease = inject(small, "kill", "api")
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        said = small.run("recover", "--all", code=4, timeout=120).out
    assert f"LEAKED: kill on api ({lease['id']})" in said
    assert "mend: gameday restart api" in said
    said = small.run("recover").out
    assert f"mended kill on api ({lease['id']}): undone" in said
    assert NOTHING in said
    assert small.healthy()


@pytest.fixture
def chaos(small: Gameday, tmp_path: Path) -> Any:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [PROGRAM.with_name("chaos"), "--no-version-check", "run", STOCK],
            env=small.env,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    return start


def test_stock_chaos_run_injects_holds_and_rolls_back(small: Gameday, chaos: Any, tmp_path: Path) -> None:
    with chaos() as running:
        (lease,) = until(small.in_force, 20, "the fault is in force")
        assert (lease["fault"], lease["target"], lease["run"]) == ("pause", "api", f"stock-{running.pid}")
        small.run("recover", "--all")
        assert running.wait(20) == 0
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert journal["status"] == "completed"
    assert [each["status"] for each in journal["run"] + journal["rollbacks"]] == ["succeeded"] * 3
    assert journal["run"][1]["output"]["ended_by"] == "no lease in force"
    assert small.healthy()


def test_a_fault_ends_with_the_process_that_asked_for_it(small: Gameday, chaos: Any) -> None:
    with chaos() as running:
        until(small.in_force, 20, "the fault is in force")
        running.kill()
    until(lambda: not small.in_force(), 3, "the lease ends with its owner")
    assert small.call("leases")[-1]["state"] == "expired"
    assert small.run("recover").out.strip() == NOTHING
