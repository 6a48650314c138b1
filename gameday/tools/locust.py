"""The load: a child process in which Locust's users arrive on a constant schedule.

Locust has a closed model: its users wait for the answer before they send again, so
a stalled server thins the load and hides its own latency (coordinated omission).
Here each class of users has a schedule of arrivals, and so many users that one is
free at each arrival even while every request runs into its timeout. Latency is
measured from the arrival. `gameday.engine` starts `python -m gameday.tools.locust`
with a `Plan` as its argument; the child answers with one JSON line an event on
stdout. It ends when it is told to, or when its stdin ends: it does not outlive its parent.
"""

from __future__ import annotations

import json
import math
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gameday.errors import GamedayError

STOP = b"stop\n"
_SPARE_USERS = 2
_ENDING_SECONDS = 5.0


@dataclass(frozen=True)
class Crowd:
    """Users of the class `cls` in `file`, of whom `rate` arrive each second."""

    file: str
    cls: str
    rate: float

    def users(self, timeout: float) -> int:
        return math.ceil(self.rate * timeout) + _SPARE_USERS


@dataclass(frozen=True)
class Plan:
    """`paths` are the dotted paths of the JSON answers to record, `headers` the names of theirs, both by route.

    `timeout` in seconds.
    """

    host: str
    crowds: Sequence[Crowd]
    paths: Mapping[str, Sequence[str]]
    timeout: float
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def decode(cls, text: str) -> Plan:
        raw = json.loads(text)
        return cls(**raw | {"crowds": [Crowd(**crowd) for crowd in raw["crowds"]]})

    def encode(self) -> str:
        return json.dumps(asdict(self))


class LoadChild:
    """The running load. `events` never blocks; a thread reads, so that the child never waits for us."""

    def __init__(self, plan: Plan, log: Path) -> None:
        self.plan = plan
        self._log = log
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gameday.tools.locust", plan.encode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C at a terminal is for the engine to handle
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def events(self) -> Iterator[dict[str, Any]]:
        """What arrived since the last call: {"kind": ..., ...}. Raises GamedayError where the child died."""
        while True:
            try:
                yield self._events.get_nowait()
            except queue.Empty:
                break
        if not self.alive and not self._reader.is_alive() and self._process.returncode:
            raise GamedayError(f"the load generator ended with {self._process.returncode}; see {self._log}")

    def stop(self) -> None:
        """No new arrivals; waits for the answers under way, then for the end. Idempotent."""
        if self._process.stdin and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.write(STOP)
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self.plan.timeout + _ENDING_SECONDS)
        self.kill()

    def kill(self) -> None:
        """At once; what is under way is not told."""
        if self.alive:
            self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout  # noqa: S101 - it was opened as a pipe
        for line in self._process.stdout:
            self._events.put(json.loads(line))


def dig(content: Any, path: str) -> tuple[bool, Any]:
    """Whether `content` has the dotted `path` (`a.0.b`), and what stands there."""
    for part in path.split("."):
        if isinstance(content, dict) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            return False, None
    return True, content


if __name__ == "__main__":
    from gameday.tools import locust_child

    locust_child.main(Plan.decode(sys.argv[1]))
