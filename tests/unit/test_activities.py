"""The Chaos Toolkit activities over a control connection that the test scripts."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from chaoslib.activity import ensure_activity_is_valid

from gameday import activities
from gameday.errors import GamedayError, InputError

LEASE = {"id": "kill-1", "state": "in-force", "error": None, "mend": None}


class Supervisor:
    """Answers as told and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer = dict(LEASE)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def connect(self, state: Path | None = None) -> Supervisor:
        return self

    def call(self, op: str, *, timeout: float = 30.0, **arguments: Any) -> Any:
        self.asked.append((op, arguments))
        return self.answer if op == "inject" else [self.answer]

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.delenv("GAMEDAY_RUN", raising=False)
    monkeypatch.delenv("GAMEDAY_RUN_DIR", raising=False)
    found = Supervisor()
    monkeypatch.setattr(activities, "Control", found)
    return found


def test_inject_hands_over_fault_duration_run_and_owner(supervisor: Supervisor) -> None:
    assert activities.inject("latency", "a->b", lease="1m30s", arguments={"latency": 5})["id"] == "kill-1"
    ((op, asked),) = supervisor.asked
    assert op == "inject"
    assert (asked["fault"], asked["target"], asked["arguments"]) == ("latency", "a->b", {"latency": 5})
    assert (asked["ttl"], asked["run"], asked["owner"]["pid"]) == (90.0, f"stock-{os.getpid()}", os.getpid())


def test_the_run_of_gameday_is_named_by_its_environment(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEDAY_RUN", "20261125-1")
    activities.inject("kill", "api")
    activities.undo()
    assert [asked["run"] for _, asked in supervisor.asked] == ["20261125-1", "20261125-1"]


@pytest.mark.parametrize("state", ["not-injected", "leaked"])
def test_inject_raises_where_the_fault_is_not_in_force(supervisor: Supervisor, state: str) -> None:
    supervisor.answer |= {"state": state, "error": "not seen", "mend": "pull it out"}
    with pytest.raises(GamedayError, match=f"kill on api is {state}: not seen; mend: pull it out"):
        activities.inject("kill", "api")


def test_undo_raises_where_a_lease_leaked(supervisor: Supervisor) -> None:
    supervisor.answer |= {"state": "leaked", "error": "it sticks", "mend": "pull it out"}
    with pytest.raises(GamedayError, match="kill-1 leaked: it sticks; mend: pull it out"):
        activities.undo()


def test_a_duration_without_a_unit_is_the_users_mistake(supervisor: Supervisor) -> None:
    with pytest.raises(InputError, match="'120' is not a duration"):
        activities.inject("kill", "api", lease="120")
    with pytest.raises(InputError, match="'5' is not a duration"):
        activities.hold(limit="5")
    assert supervisor.asked == []


def test_hold_ends_at_its_limit(supervisor: Supervisor) -> None:
    held = activities.hold(limit="300ms")
    assert held["ended_by"] == "limit"
    assert 0.3 <= held["seconds"] < 1


def test_hold_ends_when_it_is_released_and_not_before(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GAMEDAY_RUN_DIR", str(tmp_path))
    threading.Timer(0.2, (tmp_path / "release").touch).start()
    held = activities.hold(limit="10ms")
    assert held["ended_by"] == "release"
    assert 0.2 <= held["seconds"] < 2


def test_hold_ends_with_the_lease(supervisor: Supervisor) -> None:
    threading.Timer(0.2, lambda: supervisor.answer.update(state="expired")).start()
    began = time.monotonic()
    assert activities.hold(limit="20s")["ended_by"] == "no lease in force"
    assert time.monotonic() - began < 2


def test_the_toolkit_takes_them_as_activities() -> None:
    given: dict[str, dict[str, Any]] = {"inject": {"fault": "kill", "target": "api"}, "hold": {}, "undo": {}}
    for name, arguments in given.items():
        provider = {"type": "python", "module": "gameday.activities", "func": name, "arguments": arguments}
        ensure_activity_is_valid({"type": "action", "name": name, "provider": provider})
    assert set(activities.__all__) == set(given)
