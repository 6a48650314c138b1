"""Which weakened guard does each experiment notice? Runs experiments on systems that lack some of their guards.

    python bench/weakened.py [--only no-breaker] [--runs 1] [--time-scale 30] [EXPERIMENT...]

Each file in bench/weakened leaves out guards of one kind; its experiments are told below. Each run has a system of its
own: what a refuted one leaves behind would be seen by the next.
An experiment notices where it is refuted: one that is confirmed on a system without its guard is worth nothing, and
one that is inconclusive has not looked. Exits with 1 where one of them did not notice.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/e2e"))

from program import Gameday, gameday_in_new_state

_LIMIT_SECONDS = 300
WEAKENED: Mapping[str, Sequence[str]] = {
    "no-breaker": (
        "accounts-down",
        "accounts-slow",
        "chat-down",
        "content-down",
        "llm-down",
        "llm-overloaded",
        "mail-recommendations-down",
        "recommendation-down",
        "recommendation-slow",
        "search-down",
        "search-slow",
        "task-model-down",
    ),
    "no-fallback": (
        "broker-down",
        "cache-down",
        "chat-down",
        "llm-down",
        "postgres-down",
        "recommendation-down",
        "search-database-slow",
        "search-down",
        "search-slow",
        "store-down",
        "store-slow",
    ),
    "no-timeout": (
        "accounts-database-slow",
        "answers-slow",
        "cache-slow",
        "purchases-heard-late",
        "recommendation-slow",
        "store-slow",
        "talks-slow",
    ),
    "no-patience": ("chat-slow", "llm-slow"),
    "no-insistence": ("callbacks-slow", "deliveries-down"),
    "no-care": ("consumers-down", "moderation-down", "poison", "writing-overloaded"),
}


@dataclass(frozen=True)
class Outcome:
    experiment: str
    weakened: str
    verdict: str
    told: str
    seconds: float


def main() -> int:
    arguments = _arguments()
    chosen = arguments.only or list(WEAKENED)
    outcomes = [each for name in chosen for each in _weakened(name, arguments)]
    Console(width=160).print(_table(outcomes))
    return int(not outcomes or any(outcome.verdict != "refuted" for outcome in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", help="names; default: all that are told of a weakened system")
    parser.add_argument("--only", action="append", choices=WEAKENED, help="a weakened system; default: each")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--time-scale", type=float, default=30)
    return parser.parse_args()


def _weakened(name: str, arguments: argparse.Namespace) -> Iterator[Outcome]:
    files = ("-f", "docker-compose.yml", "-f", f"bench/weakened/{name}.yml")
    for experiment in WEAKENED[name]:
        if arguments.experiments and experiment not in arguments.experiments:
            continue
        for _ in range(arguments.runs):
            with gameday_in_new_state() as gameday:
                gameday.run("up", *files, "--wire", "all", "--time-scale", str(arguments.time_scale), "--trust")
                outcome = _run(gameday, experiment, name)
            print(f"{experiment} {name}: {outcome.verdict} in {outcome.seconds:.1f} s: {outcome.told}", flush=True)
            yield outcome


def _run(gameday: Gameday, experiment: str, weakened: str) -> Outcome:
    out = Path(tempfile.mkdtemp(dir=gameday.state.parent)) / "out"
    ran = gameday.run(
        "experiment", "run", f"experiments/{experiment}.yaml", "--out", out, code=None, timeout=_LIMIT_SECONDS
    )
    file = out / "verdict.json"
    if not file.exists():
        return Outcome(experiment, weakened, f"no verdict, exit code {ran.code}", ran.err[-200:], ran.seconds)
    verdict = json.loads(file.read_text())
    return Outcome(experiment, weakened, verdict["verdict"], _told(verdict), ran.seconds)


def _told(verdict: Mapping[str, object]) -> str:
    """What was not confirmed."""
    results: Sequence[Mapping[str, Sequence[Mapping[str, str]]]] = verdict["results"]  # type: ignore[assignment]
    found = [finding for result in results for finding in result["findings"] if finding["verdict"] != "confirmed"]
    return "; ".join(f"{each['check']} {each['subject']}: {each['detail'] or each['observed']}" for each in found)


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("experiment", "weakened", "verdict", "what it noticed", "s")
    for each in sorted(outcomes, key=lambda outcome: outcome.experiment):
        table.add_row(each.experiment, each.weakened, each.verdict, each.told, f"{each.seconds:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
