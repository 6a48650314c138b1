"""What is told, and what is left, of a system that did not come up."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from program import ROOT, Gameday, until


def test_a_service_that_crashes_at_start_shows_its_last_words(gameday: Gameday) -> None:
    ran = gameday.run("up", "-f", ROOT / "docker-compose.yml", "-f", ROOT / "tests/e2e/crash.yml", "--trust", code=3)
    assert "no such table: accounts" in ran.text
    assert "user-svc" in ran.text
    gameday.nothing_left(2)


def test_ctrl_c_while_starting_leaves_nothing(gameday: Gameday) -> None:
    with gameday.running("up") as process:
        until(lambda: Path(gameday.state / "supervisor.json").exists(), 10, "the supervisor lives")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130, gameday.output()
    gameday.nothing_left(2)
