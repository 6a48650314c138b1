"""Runs an experiment: control, fault and recovery windows under load. Records; judges nothing.

A window ends as soon as every expected observer has spoken, or when what it may
take has passed. Whatever happens, the faults of the run are undone before it ends.
Where the load goes on, the end of one recovery window, once all is at rest, is the
control window of the next run: it need not be waited for again.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gameday import __version__, dashboards, movement, runs
from gameday.bench import Bench, wait
from gameday.catalogue import Catalogue
from gameday.checks import SPOKEN, UNREST, control, panels
from gameday.checks.traces import LATE
from gameday.checks.users import RETURNED
from gameday.checks.view import Span
from gameday.collector import Collector
from gameday.dashboards import Boards, recording
from gameday.dashboards.shown import Shown
from gameday.errors import GamedayError, InputError
from gameday.expectations import Alert, Breaker, Log, Loss, Panel, Queue, Trace, Users
from gameday.experiment import Experiment
from gameday.journal import Journal
from gameday.judge import JOURNAL, judge, read
from gameday.load import Load
from gameday.progress import Progress
from gameday.redaction import redacted
from gameday.tools.chaos import ChaosChild
from gameday.tools.locust import Crowd, LoadChild, Plan
from gameday.verdict import Result

# Real seconds.
WATCH_LIMIT = 30.0
QUIET_LIMIT = 60.0
INJECT_LIMIT = 30.0
UNDO_LIMIT = 120.0
# In which messages pile up that nobody takes: as fast as the load makes them, whatever the time scale.
QUEUE_LIMIT = 20.0
# From the moment something may happen last to the moment we have read of it.
READING = 2.0
# By which a window is sought where nothing is scraped.
_STEP = 0.5


@dataclass(frozen=True)
class _Turn:
    """One experiment about to run: its identity, the place of its history, the toolkit that waits to be told."""

    run: str
    directory: Path
    chaos: ChaosChild


class Engine:
    """Runs experiments one after another on one system; their load goes on between them.

    `place` names the directory of each experiment's history. What the panels of `boards` draw is kept, and windows
    last as long as those need that an experiment is to move.
    """

    def __init__(
        self,
        bench: Bench,
        experiments: Sequence[Experiment],
        progress: Progress,
        place: Callable[[Experiment], Path],
        boards: Boards,
    ) -> None:
        self._bench = bench
        self._experiments = experiments
        self._progress = progress
        self._place = place
        self._load: tuple[str, LoadChild] | None = None
        self._turns: dict[str, _Turn] = {}
        self._before: Collector | None = None
        self._boards = boards

    def run(self, experiment: Experiment) -> Result:
        """The judged run. Raises GamedayError where it could not begin, KeyboardInterrupt after the undo."""
        bench = self._bench
        bench.require_wired()
        bench.require_whole()
        turn = self._turn(experiment)
        try:
            return self._run(experiment, turn)
        finally:
            turn.chaos.kill()
            del self._turns[experiment.name]

    def _run(self, experiment: Experiment, turn: _Turn) -> Result:
        bench, directory = self._bench, turn.directory
        load = self._loaded(experiment, directory)  # gets ready meanwhile
        self._progress.step(f"{experiment.name}: waiting for alerts to be silent")
        bench.require_watched(WATCH_LIMIT)
        bench.require_quiet([alert.name for alert in experiment.extension.expect.alerts], QUIET_LIMIT)
        quiet = time.time()
        shutil.copy(experiment.source.path, directory / "experiment.yaml")
        (directory / "catalogue.json").write_text(_resolved(bench.catalogue))
        before, self._before = self._before, None
        journal = Journal(directory / JOURNAL)
        try:
            collector = Collector(journal, bench, turn.run, load, before)
            collector.write("run", sync=True, quiet_wall=quiet, **self._describe(experiment, turn.run))
            # Who expects something of a panel has them all, also where nobody else asks for boards.
            expects = experiment.extension.expect.panels and not self._boards.queries
            boards = dashboards.of_project(bench.catalogue) if expects else self._boards
            moved = boards.moved_by(experiment.name)
            windows = _Windows(bench, experiment, turn, collector, self._progress, moved=moved)
            with recorded(collector):
                windows.run(lambda: self._prepare(experiment))
                self._draw(boards, collector)
                self._before = collector
        finally:
            journal.close()
        return judge(read(directory), directory)

    def close(self) -> None:
        for turn in self._turns.values():
            turn.chaos.kill()
        self._turns.clear()
        self._before = None
        if self._load:
            self._load[1].kill()
            self._load = None

    def _draw(self, boards: Boards, collector: Collector) -> None:
        """What every panel showed from the control window on."""
        span, interval = collector.view.window("control"), collector.view.run["scrape_interval"]
        if self._bench.prometheus and span:
            whole = Span(span.start)
            for record in recording.record(boards.queries, self._bench.prometheus, whole, interval):
                collector.write("panel", **record)

    def _turn(self, experiment: Experiment) -> _Turn:
        """That of `experiment`, begun where it is not yet. Raises InputError where its place is taken."""
        if experiment.name not in self._turns:
            run, directory = runs.identity(experiment.name), self._place(experiment)
            runs.prepare(directory)
            self._turns[experiment.name] = _Turn(run, directory, self._toolkit(experiment, run, directory))
        return self._turns[experiment.name]

    def _prepare(self, experiment: Experiment) -> None:
        """Lets the toolkit of the next one take its imports meanwhile."""
        following = self._experiments[self._experiments.index(experiment) + 1 :]
        with suppress(InputError):  # which its own run tells
            self._turn(*following[:1]) if following else None

    def _toolkit(self, experiment: Experiment, run: str, directory: Path) -> ChaosChild:
        environment = {
            **self._bench.environment(),
            "GAMEDAY_STATE": str(self._bench.state.directory),
            "GAMEDAY_RUN": run,
            "GAMEDAY_RUN_DIR": str(directory),
        }
        return ChaosChild(experiment.source.path, directory / "chaos.json", directory / "chaos.log", environment)

    def _loaded(self, experiment: Experiment, directory: Path) -> LoadChild:
        if self._load and self._load[0] == experiment.load.name and self._load[1].alive:
            return self._load[1]
        if self._load:
            self._load[1].kill()
        self._before = None  # nobody asked anything since
        peers = [each for each in self._experiments if each.load.name == experiment.load.name]
        child = LoadChild(plan(experiment.load, self._bench, peers), directory / "load.log")
        self._load = (experiment.load.name, child)
        return child

    def _describe(self, experiment: Experiment, run: str) -> dict[str, Any]:
        bench = self._bench
        alerts = [alert.name for alert in experiment.extension.expect.alerts]
        return {
            "id": run,
            "suite": "experiments",
            "experiment": experiment.name,
            "title": experiment.title,
            "load": experiment.load.name,
            "file": str(experiment.source.path),
            "lines": dict(experiment.lines),
            "gameday": __version__,
            "time_scale": bench.scale.factor,
            "scrape_interval": bench.prometheus.scrape_interval() if bench.prometheus else None,
            "expect": experiment.expect,
            "load_routes": list(experiment.load.profile.routes),
            "load_target": experiment.load.target(bench.catalogue),
            "catalogue_files": [str(file) for file in bench.catalogue.files],
            "substitutions": bench.status.get("substitutions", {}),
            "slack": bench.slack(alerts),
        }


class _Windows:
    """The three windows of one run. `moved` are the queries of the panels that are to move."""

    def __init__(
        self,
        bench: Bench,
        experiment: Experiment,
        turn: _Turn,
        collector: Collector,
        progress: Progress,
        *,
        moved: Sequence[Shown] = (),
    ) -> None:
        self._bench = bench
        self._experiment = experiment
        self._directory = turn.directory
        self._chaos = turn.chaos
        self._collector = collector
        self._progress = progress
        expect = experiment.extension.expect
        collector.expect(expect)
        self._expected = [(kind, each) for kind in SPOKEN for each in getattr(expect, kind)]
        # Those whose every answer is judged.
        self._routes = {*(users.route for users in expect.users), *(bounded.route for bounded in expect.bounded)}
        if expect.cascade:
            self._routes |= set(experiment.load.profile.routes)
        rates = [arrivals.rate for arrivals in experiment.load.profile.users]
        self._slowest = min(rates)
        self._moved = moved
        # Seconds by which samples look back, which a control window needs on top.
        self._reach = max((query.resolved(self._interval).reach(self._interval) for query in moved), default=0.0)

    def run(self, recovers: Callable[[], None]) -> None:
        """Calls `recovers` when the fault is undone. Raises GamedayError where the system was not at rest before."""
        try:
            self._control()
            if self._fault(self._chaos):
                recovers()
                self._recovery()
        finally:
            self._chaos.kill()
            self._undo()
            self._collector.finish()

    def _control(self) -> None:
        """A window in which all was at rest. Begins anew where something was not, for a while."""
        deadline = time.monotonic() + 3 * self._enough()
        start = self._rested()
        while True:
            if start is None:
                self._settle(deadline)
            restless = self._rest(start or time.time())
            start = None
            if not restless:
                return self._end("control", self._routes)
            self._window("control", "end")
            if time.monotonic() > deadline:
                raise GamedayError(f"the system is not at rest without a fault: {restless}")
            self._progress.say(f"{self._experiment.name}: the control window begins anew: {restless}")

    def _rested(self) -> float | None:
        """Since when all was at rest after the fault of the run before; None where it is not, or there was none."""
        wall = self._collector.since
        self._collector.poll()
        while wall is not None and wall < time.time():
            if self._heard(Span(wall)) and not self._restless(Span(wall)):
                return wall
            wall += self._interval or _STEP
        return None

    def _settle(self, deadline: float) -> None:
        """Waits until whoever is expected to speak has been seen at rest; a fresh system needs to warm up."""
        self._progress.step(f"{self._experiment.name}: warming up")
        back = max(1.0, 2 * self._interval)

        def at_rest() -> bool:
            span = Span(time.time() - back)
            return self._heard(span) and not self._restless(span)

        self._wait(at_rest, deadline - time.monotonic())

    def _rest(self, wall: float) -> str:
        """One control window from `wall` up to its end or to the first unrest, which is returned."""
        self._window("control", "start", wall)
        start = Span(wall)
        # Each series must have been seen at rest, so a window shorter than some scrapes proves nothing.
        least = time.monotonic() + self._reach + movement.SAMPLES * self._interval - (time.time() - wall)
        limit = max(self._enough(), *(self._allowed(each, "control") for _, each in self._expected))
        self._until("control", limit, least, alive=lambda: not self._restless(start))
        return self._restless(start)

    def _restless(self, span: Span) -> str:
        """What of the expected is not at rest in `span`, or which other request failed; empty where nothing is."""
        view = self._collector.view
        found = (UNREST[kind](view, each, span) for kind, each in self._expected)
        return next(filter(None, found), "") or control.unrest(view, span)

    def _heard(self, span: Span) -> bool:
        """Whether there is anything in `span` to tell rest from."""
        view = self._collector.view
        scraped = self._bench.prometheus is None or any(wall in span for wall in view.scrapes)
        return scraped and any(view.requests(route, span) for route in view.routes)

    def _fault(self, chaos: ChaosChild) -> bool:
        """Whether the fault was in force at all."""
        self._window("fault", "start")
        try:
            chaos.go()
            self._progress.step(f"{self._experiment.name}: injecting")
            self._wait(lambda: self._collector.view.in_force is not None or not chaos.alive, INJECT_LIMIT)
            limit = max(self._enough(), *(self._allowed(each, "fault") for _, each in self._expected))
            if self._collector.view.in_force is not None:
                least = time.monotonic() + (movement.SAMPLES + 1) * self._interval if self._moved else 0.0
                self._until("fault", limit, least, alive=lambda: chaos.alive)
            self._end("fault", self._routes)
            (self._directory / "release").touch()
            self._progress.step(f"{self._experiment.name}: undoing")
            self._wait(lambda: not chaos.alive, UNDO_LIMIT)
            self._collector.leases()
            self._collector.write("toolkit", **chaos.record())
        finally:
            chaos.kill()
        return self._collector.view.in_force is not None

    def _recovery(self) -> None:
        self._window("recovery", "start")
        limit = max((self._allowed(each, "recovery") for _, each in self._expected), default=0.0)
        # What is asked seldom takes long to show that it is back.
        self._until("recovery", limit + RETURNED / self._slowest)
        self._end("recovery", {each.route for each in self._experiment.extension.expect.bounded})

    def _undo(self) -> None:
        """Nothing to do after a run that went well; all there is to do after one that did not."""
        with uninterrupted():
            self._bench.undo(self._collector.run)

    def _window(self, name: str, edge: str, wall: float | None = None) -> None:
        self._collector.write("window", sync=True, window=name, edge=edge, wall=wall or time.time())

    def _end(self, window: str, routes: Collection[str]) -> None:
        """Ends a window and waits until what was asked in it is answered under the same conditions."""
        self._window(window, "end")
        wall = time.time()
        limit = self._experiment.load.profile.timeout + READING
        self._wait(lambda: all(self._collector.view.answered(route, wall) for route in routes), limit)

    def _until(self, window: str, limit: float, least: float = 0.0, alive: Any = lambda: True) -> None:
        """Waits `limit` seconds at most, but not before `least` (monotonic)."""
        limit = max(limit, least - time.monotonic())
        self._progress.step(f"{self._experiment.name}: {window} window, at most {limit:.0f}s")
        self._wait(lambda: not alive() or (time.monotonic() >= least and self._all_spoke(window)), limit)

    def _all_spoke(self, window: str) -> bool:
        view = self._collector.view
        return all(SPOKEN[kind](view, each, window) for kind, each in self._expected)

    def _wait(self, condition: Any, limit: float) -> bool:
        def polled() -> bool:
            self._collector.poll()
            return bool(condition())

        return wait(polled, limit)

    def _enough(self) -> float:
        """Seconds in which the load makes the declared number of requests even if each takes its timeout."""
        expect = self._experiment.extension.expect
        shares = [*(users.bad for users in expect.users), *(cascade.bad for cascade in expect.cascade)]
        most = max([RETURNED, *(share.of for share in shares)])
        return most / self._slowest + self._experiment.load.profile.timeout + READING + 3 * self._interval

    @property
    def _interval(self) -> float:
        return float(self._collector.view.run["scrape_interval"] or 0.0)

    def _allowed(self, expectation: Any, window: str) -> float:
        """Real seconds that the expectation may take in this window, and we to read of it."""
        scale, slack, limit = self._bench.scale, self._collector.view.slack, 0.0
        match expectation, window:
            case Users(recovers=bound), "recovery" if bound:
                limit = scale.real(bound.limit, slack("users"))
            case Breaker(opens=bound, waits=waits), "fault":
                limit = scale.real(bound.limit, slack("breaker") + waits)
            case Breaker(closes=bound), "recovery":
                limit = scale.real(bound.limit, slack("breaker"))
            case Queue(), "fault":
                limit = QUEUE_LIMIT
            case Queue(drains=bound), "recovery":
                limit = bound.limit + slack("breaker")
            case Loss(within=bound), "recovery":
                limit = bound.limit + slack("breaker")
            case Trace() | Log(), "fault":
                limit = LATE + self._experiment.load.profile.timeout
            case Trace(), "recovery":
                limit = LATE
            case Panel(), "control" | "fault":
                limit = panels.ENOUGH * self._interval
            case Alert(fires=bound, waits=waits), "fault" if bound:
                limit = scale.real(bound.limit, slack("alerts") + waits)
            case Alert(resolves=bound), "recovery" if bound:
                limit = scale.real(bound.limit, slack("alerts"))
        return limit + READING


def plan(load: Load, bench: Bench, experiments: Sequence[Experiment]) -> Plan:
    """The load of a profile, recording every JSON value and header that one of `experiments` asks for."""
    paths: dict[str, list[str]] = {}
    headers: dict[str, list[str]] = {}
    for expect in (experiment.extension.expect for experiment in experiments):
        for users in expect.users:
            paths.setdefault(users.route, []).extend(users.content)
        for loss in expect.loss:
            headers.setdefault(loss.route, []).append(loss.header)
    crowds = [Crowd(str(load.users / each.file), each.cls, each.rate) for each in load.profile.users]
    return Plan(bench.url(load.target(bench.catalogue)), crowds, _unique(paths), load.profile.timeout, _unique(headers))


def _unique(asked: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {route: sorted(set(found)) for route, found in asked.items()}


@contextmanager
def recorded(collector: Collector) -> Iterator[None]:
    """An error of our own becomes part of the history, and so inconclusive; the end is always written."""
    try:
        yield
    except GamedayError as error:
        collector.error("engine", str(error))
    except BaseException as error:
        collector.error("engine", f"{type(error).__name__}: {error}")
        raise
    finally:
        collector.write("end", sync=True)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not stop the undo that the first one asked for."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _resolved(catalogue: Catalogue) -> str:
    return json.dumps(redacted(asdict(replace(catalogue, extension={}))), default=str, indent=1)
