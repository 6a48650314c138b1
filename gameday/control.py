"""Talks to the supervisor of a running system over its control socket."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gameday.errors import GamedayError, InputError, Problem
from gameday.state import State

_CONNECT_SECONDS = 5.0


def variable(service: str) -> str:
    """Under which name `gameday env` exports an address: `api-gateway` -> `GAMEDAY_API_GATEWAY`."""
    return "GAMEDAY_" + "".join(letter if letter.isalnum() else "_" for letter in service).upper()


class Control:
    """One connection; calls go one after another. Use as a context manager, or `close`."""

    def __init__(self, connection: socket.socket, state: State) -> None:
        self.state = state
        self._connection = connection
        self._lines = connection.makefile("rb")

    @classmethod
    def connect(cls, state: Path | None = None) -> Control:
        """Raises InputError where no system runs in `state` (default: as `State.find`)."""
        place = State(state.absolute()) if state else State.find()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_CONNECT_SECONDS)
        try:
            with place.socket_path() as path:
                connection.connect(path)
        except OSError:
            connection.close()
            raise InputError(nothing_runs(place)) from None
        return cls(connection, place)

    def call(self, op: str, *, timeout: float = 30.0, **arguments: Any) -> Any:
        """The supervisor's answer to `op`, waited for at most `timeout` seconds.

        Raises InputError where the supervisor refuses the arguments, GamedayError
        where it failed, hung up or did not answer in time.
        """
        self._connection.settimeout(timeout)
        try:
            self._connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
            line = self._lines.readline()
        except TimeoutError:
            self.close()
            raise GamedayError(f"the supervisor did not answer {op!r} within {timeout:g}s") from None
        except OSError as error:
            raise GamedayError(f"the connection to the supervisor broke during {op!r}: {error}") from error
        if not line:
            raise GamedayError(f"the supervisor ended during {op!r}; see {self.state.supervisor_log}")
        return _result(json.loads(line))

    def close(self) -> None:
        self._lines.close()
        self._connection.close()

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def nothing_runs(state: State) -> Problem:
    return Problem("nothing is running", mend="gameday up", key="state", value=str(state.directory))


def encode_problem(problem: Problem) -> dict[str, Any]:
    """A problem as JSON for the wire; `decode_problem` gives it back."""
    return asdict(problem) | {"file": str(problem.file) if problem.file else None}


def decode_problem(raw: dict[str, Any]) -> Problem:
    return Problem(**(raw | {"file": Path(raw["file"]) if raw["file"] else None}))


def _result(answer: dict[str, Any]) -> Any:
    if answer["ok"]:
        return answer["result"]
    if answer.get("kind") == "input":
        raise InputError([decode_problem(each) for each in answer["problems"]])
    raise GamedayError(answer["error"])
