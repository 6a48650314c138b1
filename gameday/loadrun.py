"""Runs a load profile without any fault, and records what its users saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gameday import __version__, runs
from gameday.bench import Bench, wait
from gameday.collector import Collector
from gameday.engine import WATCH_LIMIT, plan, recorded
from gameday.journal import Journal
from gameday.judge import JOURNAL, judge, read
from gameday.load import Load
from gameday.progress import Progress
from gameday.tools.locust import LoadChild
from gameday.verdict import Result

# Real seconds for the load child to get ready.
STARTING = 30.0


def run(load: Load, bench: Bench, directory: Path, progress: Progress, duration: float | None = None) -> Result:
    """The judged run of `duration` seconds (the profile's own). Raises GamedayError where it could not begin."""
    bench.require_whole()
    bench.require_watched(WATCH_LIMIT)
    runs.prepare(directory)
    journal = Journal(directory / JOURNAL)
    child = LoadChild(plan(load, bench, ()), directory / "load.log")
    collector = Collector(journal, bench, runs.identity(load.name), child)
    try:
        with recorded(collector):
            _record(load, bench, collector, progress, duration or load.profile.duration)
            child.stop()
            collector.finish()
    finally:
        child.kill()
        journal.close()
    return judge(read(directory), directory)


def _record(load: Load, bench: Bench, collector: Collector, progress: Progress, duration: float) -> None:
    """The load as a history with a control window alone."""
    collector.write(
        "run",
        sync=True,
        id=collector.run,
        suite="load",
        experiment=load.name,
        title=load.profile.title,
        file=str(load.source.path),
        lines={route: load.source.line(("routes", route)) for route in load.profile.routes},
        gameday=__version__,
        time_scale=bench.scale.factor,
        scrape_interval=bench.prometheus.scrape_interval() if bench.prometheus else None,
        routes=load.source.data["routes"],
        substitutions=bench.status.get("substitutions", {}),
    )

    def polled(condition: Callable[[], bool]) -> bool:
        collector.poll()
        return condition()

    progress.step(f"{load.name}: starting")
    wait(lambda: polled(lambda: any(collector.view.history.of("ready"))), STARTING)
    end = time.monotonic() + duration
    progress.step(f"{load.name}: {duration:.0f}s of load")
    collector.write("window", window="control", edge="start", wall=time.time())
    wait(lambda: polled(lambda: time.monotonic() >= end), duration + 1)
    collector.write("window", window="control", edge="end", wall=time.time())
