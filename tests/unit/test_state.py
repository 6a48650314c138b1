"""Where the state directory is, who holds it, and what its supervisor says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gameday.state import State


def test_the_variable_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_STATE", str(tmp_path / "elsewhere"))
    assert State.find().directory == State.find(tmp_path).directory == tmp_path / "elsewhere"


def test_it_lies_in_the_project_or_above_where_somebody_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAMEDAY_STATE", raising=False)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert State.find().directory == below / ".gameday"
    assert State.find(tmp_path).directory == tmp_path / ".gameday"
    State(tmp_path / ".gameday").create()
    assert State.find().directory == tmp_path / ".gameday"


def test_it_is_not_put_under_version_control_and_closed_to_others(tmp_path: Path) -> None:
    State(tmp_path / "state").create()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / ".gitignore").read_text() == "*\n"


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    with state.locked() as first, state.locked() as second:
        assert first is not None
        assert second is None
    with state.locked() as again:
        assert again is not None


def test_a_supervisor_that_never_was_or_was_torn_says_nothing(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.describe() is None
    state.supervisor.write_text('{"pid": 1')
    assert state.describe() is None
    state.supervisor.write_text(json.dumps({"pid": 1}))
    assert state.describe() == {"pid": 1}


def test_a_socket_fits_however_deep_the_directory(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["directory"] * 30)
    deep.mkdir(parents=True)
    with State(deep).socket_path() as path:
        assert len(path) < 107
        Path(path).touch()
    assert (deep / "supervisor.sock").exists()
