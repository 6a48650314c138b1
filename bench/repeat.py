"""Is a verdict the same every time? Runs each experiment N times in a row, then N controls without a fault.

    python bench/repeat.py [--runs 20] [--time-scale 30] [EXPERIMENT...]
    python bench/repeat.py --runs 50 --control-only

A system of its own is started and ended. A control is the load of the gate alone:
its thresholds hold, and no alert fires. Exits with 1 where anything was not green.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/e2e"))

from program import PROGRAM, ROOT, Gameday, gameday_in_new_state

from gameday import journal

_LIMIT_SECONDS = 300


@dataclass(frozen=True)
class Outcome:
    word: str
    seconds: float


def main() -> int:
    arguments = _arguments()
    experiments = arguments.experiments or sorted((ROOT / "experiments").glob("*.yaml"))
    if arguments.control_only:
        experiments = []
    rows: dict[str, list[Outcome]] = {}
    with gameday_in_new_state() as gameday:
        gameday.run("up", "--wire", "all", "--time-scale", str(arguments.time_scale))
        for file in experiments:
            rows[file.stem] = _repeat(file.stem, arguments.runs, lambda file=file: _experiment(gameday, file))
        rows["control"] = _repeat("control", arguments.runs, lambda: _control(gameday, arguments.load))
    Console().print(_table(rows))
    return int(any(outcome.word != "confirmed" for outcomes in rows.values() for outcome in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", type=Path, help="default: all of experiments/")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--control-only", action="store_true", help="no experiment")
    parser.add_argument("--time-scale", type=float, default=30)
    parser.add_argument("--load", default="steady-homepage", help="profile of the control runs")
    return parser.parse_args()


def _repeat(name: str, runs: int, once: Callable[[], Outcome]) -> list[Outcome]:
    outcomes = []
    for number in range(1, runs + 1):
        outcomes.append(once())
        print(f"{name} {number}/{runs}: {outcomes[-1].word} in {outcomes[-1].seconds:.1f} s", flush=True)
    return outcomes


def _run(gameday: Gameday, *command: str) -> tuple[int, str, float]:
    began = time.monotonic()
    done = subprocess.run(
        [PROGRAM, *command], env=gameday.env, cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_SECONDS
    )
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


def _new_directory(gameday: Gameday) -> Path:
    """Where no run before has left a verdict that could be taken for that of the next."""
    return Path(tempfile.mkdtemp(dir=gameday.state.parent)) / "out"


def _experiment(gameday: Gameday, file: Path) -> Outcome:
    out = _new_directory(gameday)
    code, said, seconds = _run(gameday, "experiment", "run", str(file), "--out", str(out))
    return Outcome(_word(code, said, out), seconds)


def _control(gameday: Gameday, profile: str) -> Outcome:
    out = _new_directory(gameday)
    before = _firings(gameday)
    code, said, seconds = _run(gameday, "load", "run", profile, "--out", str(out))
    word = _word(code, said, out)
    return Outcome("an alert fired" if _firings(gameday) > before and word == "confirmed" else word, seconds)


def _word(code: int, said: str, out: Path) -> str:
    """The verdict; what was said goes to the terminal where it is not the wanted one."""
    if code != 0:
        print(said, file=sys.stderr)
    file = out / "verdict.json"
    if not file.exists():
        return f"no verdict, exit code {code}"
    verdict = json.loads(file.read_text())
    return str(verdict["verdict"]) if verdict["exit_code"] == code else f"exit code {code} but {verdict['verdict']}"


def _firings(gameday: Gameday) -> int:
    history = journal.read(gameday.state / "alerts.jsonl")
    return sum(record.data["status"] == "firing" for record in history.of("alert"))


def _table(rows: dict[str, list[Outcome]]) -> Table:
    table = Table("run", "n", "verdicts", "shortest s", "median s", "longest s")
    for name, outcomes in rows.items():
        words = Counter(outcome.word for outcome in outcomes)
        times = [outcome.seconds for outcome in outcomes]
        table.add_row(
            name,
            str(len(outcomes)),
            ", ".join(f"{count} {word}" for word, count in words.most_common()),
            *(f"{value:.1f}" for value in (min(times), statistics.median(times), max(times))),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
