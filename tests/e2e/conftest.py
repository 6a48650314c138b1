"""Systems that the stories are told on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import ROOT, TIME_SCALE, Gameday, gameday_in_new_state


@pytest.fixture
def gameday() -> Iterator[Gameday]:
    """With nothing running yet. What a test starts is ended after it."""
    with gameday_in_new_state() as new:
        yield new


@pytest.fixture(scope="session")
def running() -> Iterator[Gameday]:
    with gameday_in_new_state() as new:
        # A leak is told after that time; a restart here takes a few seconds.
        ran = new.run("up", "--wire", "all", "--time-scale", TIME_SCALE, env={"GAMEDAY_UNDO_SECONDS": "10"})
        new.up_seconds = ran.seconds
        yield new


@pytest.fixture
def wired(running: Gameday) -> Gameday:
    """The whole system, wired, its timers scaled as in the gate; shared by all stories that leave it as it was."""
    running.whole()
    return running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a person writes: the compose file, alerts, experiments and load, to be spoilt."""
    for name in ("alerts", "experiments", "loadtests", "deploy"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    return tmp_path
