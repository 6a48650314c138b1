"""Drives the program from outside, as a person at a shell does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ports import free_port

from gameday.control import Control
from gameday.errors import GamedayError, InputError

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("gameday")
# As `gameday gate` does.
TIME_SCALE = "30"

T = TypeVar("T")


def until(condition: Callable[[], T], timeout: float, what: str, every: float = 0.05) -> T:
    """The first true value of `condition`, asked `every` so many seconds; fails when `timeout` of them have passed."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{timeout:g} s passed: {what}"
        time.sleep(every)
    return value


class Ran:
    """What a command did, for the message of a failed assertion too."""

    def __init__(self, command: tuple[str, ...], code: int, out: str, err: str, seconds: float) -> None:
        self.command, self.code, self.out, self.err, self.seconds = command, code, out, err, seconds

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        return self.out + self.err

    def __repr__(self) -> str:
        return f"{' '.join(self.command)} -> {self.code} in {self.seconds:.1f} s\n{self.out}\n{self.err}"


class Gameday:
    """The program with a state directory and a gateway's port of its own, run in the repository.

    `up_seconds`: what its `up` took, where whoever called it wrote that down.
    """

    up_seconds: float = 0.0

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = free_port()
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("GAMEDAY")} | {
            "GAMEDAY_STATE": str(state),
            "GATEWAY_PORT": str(self.port),
            "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
            "NO_COLOR": "1",
            "COLUMNS": "160",
        }

    def run(
        self,
        *arguments: str | Path,
        code: int | None = 0,
        env: Mapping[str, str] | None = None,
        timeout: float = 90,
        cwd: Path = ROOT,
    ) -> Ran:
        """Runs to the end and demands the exit code; None: whichever it is."""
        command = (str(PROGRAM), *map(str, arguments))
        began = time.monotonic()
        done = subprocess.run(
            command,
            env=self.env | dict(env or {}),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        ran = Ran(command, done.returncode, done.stdout, done.stderr, time.monotonic() - began)
        assert code is None or ran.code == code, ran
        assert "Traceback" not in ran.err, ran
        return ran

    @contextmanager
    def running(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """A command under way, in a process group of its own as a shell gives it; killed at the end."""
        output = self.state.parent / "running.log"
        with output.open("w") as file:
            process = subprocess.Popen(
                [PROGRAM, *arguments],
                env=self.env | dict(env or {}),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                # A shell's background job is born deaf to Ctrl-C, and so would be what it starts.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def output(self) -> str:
        """What the command under way has printed."""
        return (self.state.parent / "running.log").read_text()

    def call(self, op: str, **arguments: Any) -> Any:
        with Control.connect(self.state) as control:
            return control.call(op, **arguments)

    def ready(self) -> bool:
        """Also while nothing runs yet, or is only just starting."""
        try:
            return bool(self.call("status")["ready"])
        except (GamedayError, InputError):
            return False

    def in_force(self) -> list[dict[str, Any]]:
        return [lease for lease in self.call("leases") if lease["state"] == "in-force"]

    def services(self) -> dict[str, dict[str, Any]]:
        return {service["name"]: service for service in self.call("status")["services"]}

    def healthy(self) -> bool:
        return {service["state"] for service in self.services().values()} == {"healthy"}

    def whole(self) -> None:
        """Makes good what a failed story left behind, so that the next one begins on a whole system."""
        if self.in_force() or not self.healthy():
            self.run("recover", "--all")
            until(self.healthy, 60, "all services are healthy")

    def processes(self) -> list[str]:
        """Everything alive that this state directory started, as /proc tells: `pid command line`."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and self._ours(entry):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:
                    found.append(f"{entry.name} {command}")
        return found

    def _ours(self, process: Path) -> bool:
        """By what it was started with, or where it stands: PostgreSQL's backends overwrite the first."""
        mark = str(self.state)
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            return mark.encode() in told or str((process / "cwd").readlink()).startswith(mark)
        except OSError:
            return False

    def nothing_left(self, timeout: float = 5) -> None:
        until(lambda: not self.processes(), timeout, f"still alive: {self.processes()}")


@contextmanager
def gameday_in_new_state() -> Iterator[Gameday]:
    """Ended with its block, which SIGTERM leaves as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="gameday-e2e-") as name:
        gameday = Gameday(Path(name) / "state")
        try:
            yield gameday
        finally:
            gameday.run("down", timeout=60)
            try:
                gameday.nothing_left()
            finally:
                for line in gameday.processes():
                    os.kill(int(line.split()[0]), signal.SIGKILL)
