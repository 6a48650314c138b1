"""The client of the control socket against a supervisor of three lines."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gameday.control import Control, decode_problem, encode_problem
from gameday.errors import GamedayError, InputError, Problem
from gameday.state import State


@contextmanager
def supervisor(directory: Path, *answers: dict[str, object] | None) -> Iterator[list[dict[str, object]]]:
    """Answers one request after another; None hangs up."""
    asked: list[dict[str, object]] = []
    listening = socket.socket(socket.AF_UNIX)
    with State(directory).socket_path() as path:
        listening.bind(path)
    listening.listen()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as lines:
            for answer in answers:
                asked.append(json.loads(lines.readline()))
                if answer is None:
                    return
                connection.sendall(json.dumps(answer).encode() + b"\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield asked
    thread.join()
    listening.close()


def test_calls_go_one_after_another(tmp_path: Path) -> None:
    with (
        supervisor(tmp_path, {"ok": True, "result": [1]}, {"ok": True, "result": None}) as asked,
        Control.connect(tmp_path) as control,
    ):
        assert control.call("leases", run="r") == [1]
        assert control.call("stop") is None
    assert asked == [{"op": "leases", "run": "r"}, {"op": "stop"}]


def test_a_refusal_carries_its_problems(tmp_path: Path) -> None:
    problem = Problem("no fault", "one of: kill", file=Path("x.yml"), line=3, key="fault", value="kil")
    answer = {"ok": False, "kind": "input", "error": "no fault", "problems": [encode_problem(problem)]}
    with supervisor(tmp_path, answer), Control.connect(tmp_path) as control, pytest.raises(InputError) as raised:
        control.call("inject")
    assert raised.value.problems == (problem,)


def test_a_failure_is_told(tmp_path: Path) -> None:
    answer = {"ok": False, "kind": "error", "error": "disk full"}
    failing = pytest.raises(GamedayError, match="disk full")
    with supervisor(tmp_path, answer), Control.connect(tmp_path) as control, failing:
        control.call("undo")


def test_a_supervisor_that_hangs_up(tmp_path: Path) -> None:
    failing = pytest.raises(GamedayError, match=r"ended during 'status'; see .*supervisor\.log")
    with supervisor(tmp_path, None), Control.connect(tmp_path) as control, failing:
        control.call("status")


def test_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing is running") as raised:
        Control.connect(tmp_path)
    assert raised.value.problems[0].mend == "gameday up"


def test_a_problem_survives_the_wire() -> None:
    for problem in (Problem("a", "b"), Problem("a", "b", file=Path("/f"), line=1, column=2, key="k", value=[1])):
        assert decode_problem(json.loads(json.dumps(encode_problem(problem)))) == problem
