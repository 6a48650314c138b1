"""Ends a system whose supervisor was killed, and sweeps up after both.

`python -m gameday.guardian STATE SYSTEM LOCK` daemonises itself, starts the
supervisor in a session of its own and waits on a pipe of which the supervisor holds
the other end. End of file without a word means that the supervisor was killed: every
descendant, all of which the kernel has handed to the guardian by then, is killed.
The catalogue comes in on stdin and goes to the supervisor as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gameday import journal
from gameday.runtime import ProcessId, procfs, tracker
from gameday.runtime.tracker import MARKER
from gameday.state import State

# What the supervisor says before it leaves with everything ended.
FAREWELL = b"done"
_SECONDS = 2.0


def main() -> None:
    state, system, lock = State(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    tracker.adopt_orphans()
    heard, told = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "gameday.supervisor", str(state.directory), system, str(told)],
        pass_fds=[told, lock],
        env=os.environ | {MARKER: f"{system}/supervisor"},
        start_new_session=True,
    ) as supervisor:
        os.close(told)
        os.close(0)
        farewell = os.read(heard, len(FAREWELL))
        if farewell != FAREWELL:
            supervisor.kill()
            _explain(state)
        supervisor.wait()
        # After a farewell nothing should be left; whatever is, is nobody else's to end.
        _end_all(system)


def _end_all(system: str) -> None:
    """Kills every descendant and everything marked, again and again until none is left."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        living = [entry.id for entry in procfs.tree([os.getpid()])] + tracker.marked(system)
        others = [process for process in living if process.pid != os.getpid()]
        for process in others:
            procfs.send(process, signal.SIGKILL)
        _bury()
        if not others:
            return
        time.sleep(0.01)


def _bury() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _explain(state: State) -> None:
    """For the command that waits for the supervisor, and for the next one."""
    told = state.describe()
    if told is not None and "failure" not in told:
        failure = {"error": f"the supervisor was killed and its system ended; see {state.supervisor_log}"}
        state.supervisor.write_text(json.dumps(told | {"failure": failure}))


def leftovers(state: State) -> dict[ProcessId, str]:
    """Living processes of the last system of `state`, with what each was. Says nothing of whether it is still run."""
    found: dict[ProcessId, str] = {}
    for record in journal.read(state.processes).records:
        process = ProcessId(record.data["pid"], record.data["start"], record.data["boot"])
        for each in _whole(process):
            found.setdefault(each, record.data["service"])
        for each in tracker.marked(record.data["system"]):
            found.setdefault(each, record.data["service"])
    return found


def sweep(state: State) -> list[str]:
    """Ends what the last system of `state` left behind; its supervisor must be dead. Returns what was ended.

    A process is known by its journalled identity, by descent from one, or by its marker.
    """
    ended: dict[ProcessId, str] = {}
    deadline = time.monotonic() + _SECONDS
    while (living := leftovers(state)) and time.monotonic() < deadline:
        ended |= living
        for process in living:
            procfs.send(process, signal.SIGKILL)
        time.sleep(0.02)
    return [f"{service} (process {process.pid})" for process, service in ended.items()]


def _whole(process: ProcessId) -> Iterator[ProcessId]:
    if procfs.alive(process):
        yield from (entry.id for entry in procfs.tree([process.pid]))


if __name__ == "__main__":
    main()
