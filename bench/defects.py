"""Ten defects of telemetry, alerts and dashboards, planted one after another: is each of them noticed and named?

    python bench/defects.py [--only renamed-metric] [--time-scale 30]

Each defect is planted in a copy of the project, of which a system is started: what a gate would run is run there, and
has to end in red (exit code 1, or 2 where the files themselves say so) with words that name what is wrong. Before them
the copy itself, without a defect, has to be green. Exits with 1 where one of them went unnoticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/e2e"))

from program import ROOT, Gameday, Ran, gameday_in_new_state

_LIMIT_SECONDS = 300
# Trained and downloaded, and so not in the repository.
_MODELS = ("system/recommendation/model", "system/search/model")
# A dead letter box for alerts: nobody listens there.
_DEAD = "docs/dead/alertmanager.yml"
_DEAD_CONTENT = """\
route: {receiver: nobody, group_by: ["..."], group_wait: 1s, group_interval: 1s}
receivers: [{name: nobody, webhook_configs: [{url: "http://127.0.0.1:9/alerts"}]}]
"""
# What is asked of a system that has done all that it does.
_LOADS = ("steady-members", "steady-buyers", "steady-writers", "steady-talk")
_TELEMETRY = ("gate", "telemetry")
_CONSUMERS = ("experiment", "run", "experiments/consumers-down.yaml")
_DELIVERIES = ("experiment", "run", "experiments/deliveries-down.yaml")


@dataclass(frozen=True)
class Defect:
    """In `file` the first `found` becomes `planted`; without one the file is gone. `named` has to be told."""

    name: str
    file: str
    found: str
    planted: str
    asked: Sequence[str]
    named: str

    def plant(self, project: Path) -> None:
        path = project / self.file
        if not self.found:
            path.unlink()
            return
        text = path.read_text()
        if self.found not in text:
            raise ValueError(f"{self.file}: {self.found!r} is not there any more")
        path.write_text(text.replace(self.found, self.planted, 1))


_QUEUE = 'queue = "notification-svc.user.purchased"\nlimit = 10\nrate = 5\nfor = "1m"'
_SEARCH = "sources: [system/search, system/kit, requirements/cpu.txt]\n      metrics: /metrics"
_ALERTMANAGER = "${ALERTS_DIR:-./alerts/_gen}:/etc/alertmanager:ro"
_INJECT = "telemetry.PROPAGATOR.inject(carried)"
DEFECTS = (
    Defect(
        "renamed-metric",
        "system/kit/signals.py",
        'Counter("fallback"',
        'Counter("fallen"',
        _TELEMETRY,
        "fallback_total",
    ),
    Defect(
        "dropped-label",
        "system/kit/signals.py",
        'in a queue.", ("queue",)',
        'in a queue.", ("q",)',
        _TELEMETRY,
        "queue",
    ),
    Defect("threshold-100", "alerts/slos.toml", _QUEUE, _QUEUE.replace("10", "1000"), _CONSUMERS, "PurchaseMailsWait"),
    Defect("for-an-hour", "alerts/slos.toml", _QUEUE, _QUEUE.replace("1m", "1h"), _CONSUMERS, "PurchaseMailsWait"),
    Defect(
        "misspelt-panel", "dashboards/overview.yaml", "process_open_fds", "proces_open_fds", _TELEMETRY, "Open files"
    ),
    Defect("exporter-off", "docker-compose.yml", _SEARCH, f"{_SEARCH}-of-old", _TELEMETRY, "search-svc"),
    Defect("lost-context", "system/kit/bus.py", _INJECT, 'carried.pop("traceparent", None)', _DELIVERIES, "without"),
    Defect(
        "dead-webhook", "docker-compose.yml", _ALERTMANAGER, "./docs/dead:/etc/alertmanager:ro", _DELIVERIES, "delivery"
    ),
    Defect("always-true", "alerts/slos.toml", "spans_lost_total", "process_cpu_seconds_total", _TELEMETRY, "SpansLost"),
    Defect("no-runbook", "docs/runbooks/CacheUnavailable.md", "", "", _TELEMETRY, "CacheUnavailable"),
)
NONE = tuple(Defect(f"none: {asked[-1]}", "", "", "", asked, "") for asked in (_TELEMETRY, _CONSUMERS, _DELIVERIES))


@dataclass(frozen=True)
class Outcome:
    defect: str
    noticed: bool
    told: str
    seconds: float


def main() -> int:
    arguments = _arguments()
    chosen = [each for each in (*NONE, *DEFECTS) if each.name in (arguments.only or each.name)]
    outcomes = []
    for each in chosen:
        outcomes.append(outcome := _tried(each, arguments.time_scale))
        print(f"{outcome.defect}: {'as it should be' if outcome.noticed else 'WRONG'}: {outcome.told}", flush=True)
    Console(width=160).print(_table(outcomes))
    return int(not outcomes or not all(outcome.noticed for outcome in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [each.name for each in (*NONE, *DEFECTS)]
    parser.add_argument("--only", action="append", choices=names, help="a defect; default: each, and none")
    parser.add_argument("--time-scale", type=float, default=30)
    return parser.parse_args()


def _tried(defect: Defect, time_scale: float) -> Outcome:
    began = time.monotonic()
    with _copy() as project, gameday_in_new_state() as gameday:
        if defect.file:
            defect.plant(project)
        ran = _asked(gameday, project, defect, str(time_scale))
    lines = [line for line in ran.text.splitlines() if defect.named in line]
    red = [line for line in lines if any(mark in line for mark in ("refuted", "inconclusive", "not-injected"))]
    if defect.file:
        noticed = ran.code in (1, 2) and bool(lines)
        words = (red or lines or [f"exit code {ran.code}, and no word of {defect.named}"])[0]
    else:
        noticed, words = ran.code == 0, f"exit code {ran.code}"
    return Outcome(defect.name, noticed, " ".join(words.split()), time.monotonic() - began)


def _asked(gameday: Gameday, project: Path, defect: Defect, time_scale: str) -> Ran:
    """The first command that is red, else the last."""
    (project / _DEAD).parent.mkdir()
    (project / _DEAD).write_text(_DEAD_CONTENT)
    commands = [("up", "--wire", "all", "--time-scale", time_scale, "--trust")]
    commands += [("load", "run", name) for name in _LOADS if defect.asked is _TELEMETRY]
    for command in (*commands, defect.asked):
        ran = gameday.run(*command, code=None, cwd=project, timeout=_LIMIT_SECONDS)
        # A load says how fast answers came; that is not what is asked here.
        if ran.code and command[0] != "load":
            break
    return ran


@contextmanager
def _copy() -> Iterator[Path]:
    """What git knows of the project, as it stands, with its models."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="gameday-defect-") as name:
        for file in filter(None, files.stdout.splitlines()):
            if (ROOT / file).is_file():
                (Path(name) / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, Path(name) / file)
        for model in _MODELS:
            shutil.copytree(ROOT / model, Path(name) / model, dirs_exist_ok=True, copy_function=os.link)
        yield Path(name)


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("defect", "noticed", "what was told", "s")
    for each in outcomes:
        table.add_row(each.defect, "yes" if each.noticed else "NO", each.told, f"{each.seconds:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
