"""The Chaos Toolkit, run in a child process: `python -m gameday.tools.chaos EXPERIMENT JOURNAL`.

Rollbacks always run, whatever happened. Whether the experiment went as it should is
read from each activity's own status, never from the toolkit's exit code.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gameday.errors import GamedayError

_ALWAYS = {"runtime": {"rollbacks": {"strategy": "always"}}}
_EXCEPTION_LENGTH = 500
_GO = b"go\n"


class ChaosChild:
    """The experiment, which waits until it is told to go. Its journal stands in `journal` once it ended."""

    def __init__(self, experiment: Path, journal: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._journal = journal
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gameday.tools.chaos", str(experiment), str(journal)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C at a terminal is for the engine to handle
            )

    def go(self) -> None:
        """Starts what took its imports meanwhile."""
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.write(_GO)
                self._process.stdin.close()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        if self.alive:
            self._process.kill()
        self._process.wait()

    def record(self) -> dict[str, Any]:
        """The data of a `toolkit` record. Raises GamedayError where the child left no journal."""
        try:
            return digest(json.loads(self._journal.read_text()))
        except (OSError, ValueError) as error:
            code = self._process.returncode
            raise GamedayError(f"the toolkit left no journal and ended with {code}; see {self._log}: {error}") from None


def digest(journal: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkers ask of a journal of the toolkit."""
    states = journal.get("steady_states") or {}
    return {
        "status": journal["status"],
        "deviated": journal["deviated"],
        "runs": list(_runs(journal)),
        "steady_before": _met(states.get("before")),
        "steady_after": _met(states.get("after")),
    }


def _runs(journal: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for group in ("run", "rollbacks"):
        for run in journal.get(group) or ():
            activity = run["activity"]
            yield {
                "name": activity.get("name", activity.get("ref")),
                "type": "rollback" if group == "rollbacks" else activity.get("type", "ref"),
                "status": run.get("status", "unfinished"),
                **_optional(run),
            }


def _optional(run: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if exception := run.get("exception"):
        found["exception"] = "".join(exception).strip()[-_EXCEPTION_LENGTH:]
    if "tolerance_met" in run:
        found["tolerance_met"] = run["tolerance_met"]
    return found


def _met(state: Mapping[str, Any] | None) -> bool | None:
    return None if state is None else bool(state["steady_state_met"])


def main(experiment: Path, journal: Path) -> None:
    from chaoslib.configuration import load_configuration
    from chaoslib.experiment import run_experiment
    from chaoslib.loader import load_experiment
    from chaoslib.types import Strategy

    _die_with_parent()
    loaded = load_experiment(str(experiment))
    if sys.stdin.buffer.readline() != _GO:
        return
    load_configuration(loaded.get("configuration", {}))
    found = run_experiment(loaded, settings=_ALWAYS, strategy=Strategy.DEFAULT)
    fresh = journal.with_name(journal.name + ".new")
    fresh.write_text(json.dumps(found, default=str))
    fresh.replace(journal)


def _die_with_parent() -> None:
    """The supervisor undoes the leases of a dead run; a toolkit that goes on would take new ones."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
