"""The runs on disk, and that there is one at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gameday import runs
from gameday.errors import InputError
from gameday.state import State

HOLD = """
import sys, time
from pathlib import Path
from gameday import runs
from gameday.state import State
with runs.exclusive(State(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def store(state: State, name: str, verdict: str | None) -> Path:
    directory = state.runs / name
    directory.mkdir(parents=True)
    (directory / "journal.jsonl").write_text("")
    if verdict:
        (directory / "verdict.json").write_text(json.dumps({"verdict": verdict}))
    return directory


def test_the_newest_come_first_with_their_verdicts(state: State) -> None:
    store(state, "20260101-000000-a", "refuted")
    store(state, "20260102-000000-b", None)
    (state.runs / "not-a-run").mkdir()
    assert [(run.id, run.verdict) for run in runs.found(state)] == [
        ("20260102-000000-b", None),
        ("20260101-000000-a", "refuted"),
    ]


def test_a_broken_verdict_is_no_verdict(state: State) -> None:
    directory = store(state, "20260101-000000-a", "confirmed")
    (directory / "verdict.json").write_text("{")
    assert runs.found(state)[0].verdict is None


def test_prune_keeps_the_newest(state: State) -> None:
    for day in range(1, 6):
        store(state, f"2026010{day}-000000-a", "confirmed")
    gone = runs.prune(state, 2)
    assert [run.id for run in gone] == [f"2026010{day}-000000-a" for day in (3, 2, 1)]
    assert [run.id for run in runs.found(state)] == ["20260105-000000-a", "20260104-000000-a"]


def test_no_runs_at_all(state: State) -> None:
    assert runs.found(state) == []
    assert runs.prune(state, 0) == []


def test_each_run_has_a_name_of_its_own() -> None:
    assert len({runs.identity("a") for _ in range(20)}) == 20


def test_a_directory_that_holds_a_run_is_refused(state: State, tmp_path: Path) -> None:
    runs.prepare(tmp_path / "new")
    runs.prepare(tmp_path / "new")
    with pytest.raises(InputError, match="holds a run already"):
        runs.prepare(store(state, "a", None))


def test_a_second_run_is_refused_until_the_first_is_gone_however_it_died(state: State) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"pid {holder.pid}") as told, runs.exclusive(state):
            pass
        assert str(holder.pid) in told.value.problems[0].mend
        holder.kill()
        holder.wait()
    with runs.exclusive(state):
        pass
