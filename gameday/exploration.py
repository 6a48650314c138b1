"""Breaks what the load uses, case after case, and records what users of each route saw.

Each case has a history of its own, with a control, a fault and a recovery window as an experiment has,
and is judged by `gameday.checks.explored`, which needs no expectation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gameday import __version__, experiment, load, runs
from gameday.bench import Bench, wait
from gameday.cases import EDGE_FAULTS, SERVICE_FAULTS, Break, Case, Order, Use, breaks
from gameday.catalogue import Catalogue, Edge
from gameday.checks import explored
from gameday.checks.control import MINIMUM
from gameday.checks.view import Span, View
from gameday.collector import Collector
from gameday.engine import READING, UNDO_LIMIT, WATCH_LIMIT, plan, recorded, uninterrupted
from gameday.errors import GamedayError, InputError, Problem
from gameday.footprints import Footprints
from gameday.journal import Journal
from gameday.judge import JOURNAL, judge, read
from gameday.load import Load
from gameday.progress import Progress
from gameday.runtime import procfs
from gameday.tools.jaeger import Jaeger
from gameday.tools.locust import LoadChild
from gameday.verdict import Result
from gameday.yamlfile import suggestion

# Real seconds.
FIRST_LOOK = 5.0
REST_LIMIT = 60.0
BACK_LIMIT = 60.0
LEASE = 120.0


@dataclass(frozen=True)
class Exploration:
    """What may be broken, and in which order; `hold` is how long each case is in force at least, in real seconds.

    `unfit` says what is not even tried, and why.
    """

    breaks: Sequence[Break]
    load: Load
    hold: float
    order: Order
    unfit: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        catalogue: Catalogue,
        edges: Sequence[str],
        faults: Sequence[str],
        load_name: str | None,
        hold: float,
        *,
        order: Order | None = None,
        services: Sequence[str] | None = None,
    ) -> Exploration:
        """What is named; where nothing is, every edge, every service (None: no service at all), and every fault.

        The load, unless it is named, is the one that asks for the most routes. Raises InputError with everything that
        does not exist.
        """
        problems: list[Problem] = []
        loaded = _load(catalogue, load_name, problems)
        unfit = _unfit(catalogue, loaded) if loaded and services is not None else {}
        wanted = _edges(catalogue, edges, problems)
        whole = _services(catalogue, services, unfit, problems)
        kinds = _faults(faults, EDGE_FAULTS if services is None else {**EDGE_FAULTS, **SERVICE_FAULTS}, problems)
        if problems or loaded is None:
            raise InputError(problems)
        if edges or services:
            # Who names the one does not mean all of the other.
            wanted, whole, unfit = wanted if edges else [], whole if services else [], {}
        return cls(breaks(catalogue, wanted, whole, kinds), loaded, hold, order or Order(), tuple(unfit.values()))

    def cases(self, use: Use) -> Iterator[Case]:
        return self.order.cases(self.breaks, use)

    def left_out(self, use: Use) -> tuple[str, ...]:
        unused = dict.fromkeys(each.target for each in self.breaks if not use.of(each))
        told = [f"{target}: the load does not use it" for target in unused]
        return (*told, *self.unfit, *self.order.left_out(self.breaks, use))


class Explorer:
    """Explores cases one after another on one system; the load goes on between them."""

    def __init__(self, bench: Bench, exploration: Exploration, directory: Path, progress: Progress) -> None:
        self._bench = bench
        self._exploration = exploration
        self._directory = directory
        self._progress = progress
        # What users got under one fault alone; None where that is not known for sure.
        self._alone: dict[Break, Mapping[str, Sequence[str]] | None] = {}
        directory.mkdir(parents=True, exist_ok=True)
        asking = experiment.check(experiment.files(bench.catalogue.directory), bench.catalogue)
        self._child = LoadChild(plan(exploration.load, bench, asking), directory / "load.log")

    def close(self) -> None:
        self._child.kill()

    def used(self) -> Use:
        """What the load uses: the edges that carry anything while it goes on for a while, and what traces tell."""
        self._progress.step("looking which edges the load uses")
        self._bench.require_watched(WATCH_LIMIT)
        self._await_load()
        before = self._attempts()
        wait(lambda: not self._child.alive, FIRST_LOOK)
        after = self._attempts()
        known = dict.fromkeys(edge for each in self._exploration.breaks for edge in each.edges)
        return Use([edge for edge in known if after.get(_key(edge), 0) > before.get(_key(edge), 0)], self._footprints())

    def explore(self, case: Case) -> Result:
        """The judged run of one case. Raises GamedayError where it could not begin."""
        alone = case.breaks[0] if len(case.breaks) == 1 else None
        if alone:
            self._alone[alone] = None
        directory = self._directory / case.name
        runs.prepare(directory)
        self._bench.require_whole()
        journal = Journal(directory / JOURNAL)
        try:
            collector = Collector(journal, self._bench, runs.identity(case.name), self._child)
            collector.write("run", sync=True, **self._describe(case, collector.run))
            with recorded(collector):
                _Windows(self._bench, case, self._exploration, collector, self._say(case)).run()
        finally:
            journal.close()
        history = read(directory)
        result = judge(history, directory)
        if alone and result.certain:
            self._alone[alone] = explored.seen(View(history))
        return result

    def _footprints(self) -> Footprints:
        """Of the requests so far. Where nobody keeps traces, or answers, any request may have used any edge."""
        bench = self._bench
        ports = bench.endpoints.get(bench.catalogue.telemetry.traces or "")
        if not ports:
            return Footprints()
        try:
            with closing(Jaeger.at(ports)) as jaeger:
                return Footprints.read(jaeger, self._exploration.load.target(bench.catalogue))
        except GamedayError as error:
            self._progress.say(f"no trace says which edges a request uses: {error}")
            return Footprints()

    def _await_load(self) -> None:
        """The first arrivals: before, the load may open accounts."""
        found: list[dict[str, Any]] = []

        def arrived() -> bool:
            found.extend(event for event in self._child.events() if event["kind"] == "request")
            return bool(found)

        if not wait(arrived, WATCH_LIMIT):
            raise GamedayError(f"the load sent nothing; see {self._directory / 'load.log'}")

    def _attempts(self) -> dict[tuple[str, int | None], int]:
        wires = self._bench.control.call("wires")
        return {(wire["edge"], wire["port"]): int(wire["counters"]["attempts"]) for wire in wires}

    def _say(self, case: Case) -> Callable[[str], None]:
        return lambda text: self._progress.step(f"{case.title}: {text}")

    def _describe(self, case: Case, run: str) -> dict[str, Any]:
        bench = self._bench
        together = len(case.breaks) > 1 and all(each in self._alone for each in case.breaks)
        return {
            "id": run,
            "suite": "exploration",
            "experiment": case.name,
            "title": case.title,
            "breaks": [
                {"fault": each.fault, "target": each.target, "arguments": each.arguments} for each in case.breaks
            ],
            "alone": {each.title: self._alone[each] for each in case.breaks} if together else {},
            "on_loss": str(case.on_loss) if case.on_loss else None,
            "timeout": self._exploration.load.profile.timeout,
            "gameday": __version__,
            "time_scale": bench.scale.factor,
            "scrape_interval": bench.prometheus.scrape_interval() if bench.prometheus else 0.0,
            "catalogue_files": [str(file) for file in bench.catalogue.files],
            "substitutions": bench.status.get("substitutions", {}),
        }


class _Windows:
    """The three windows of one case."""

    def __init__(
        self, bench: Bench, case: Case, exploration: Exploration, collector: Collector, say: Callable[[str], None]
    ) -> None:
        self._bench = bench
        self._case = case
        self._patience = exploration.load.profile.timeout + READING
        self._hold = exploration.hold
        self._collector = collector
        self._say = say

    def run(self) -> None:
        try:
            self._control()
            if self._fault():
                self._recovery()
        finally:
            with uninterrupted():
                self._bench.undo(self._collector.run)
            self._collector.finish()

    def _control(self) -> None:
        """Begins anew at each unrest, for a while: the fault before may still be felt."""
        deadline = time.monotonic() + REST_LIMIT
        self._say("control window")
        while unrest := self._rest(deadline - time.monotonic()):
            self._window("control", "end")
            if time.monotonic() > deadline:
                raise GamedayError(f"the system is not at rest without a fault: {unrest}")
        self._end("control")

    def _rest(self, limit: float) -> str:
        """One control window, up to its end or to the first unrest, which is returned."""
        self._window("control", "start")
        span = Span(time.time())
        self._wait(lambda: self._unrest(span) or self._seen(span), limit)
        return self._unrest(span)

    def _fault(self) -> bool:
        """Whether any fault was in force at all."""
        self._say("fault window")
        self._window("fault", "start")
        owner = procfs.identify(os.getpid())
        for each in self._case.breaks:
            self._bench.control.call(
                "inject",
                fault=each.fault, target=each.target, arguments=dict(each.arguments),
                ttl=LEASE, run=self._collector.run, owner=asdict(owner) if owner else None, timeout=UNDO_LIMIT,
            )  # fmt: skip
        self._collector.leases()
        if self._collector.view.in_force is not None:
            least = time.monotonic() + self._hold
            self._wait(lambda: time.monotonic() >= least and self._met(), self._hold + self._patience)
        self._end("fault")
        with uninterrupted():
            self._bench.undo(self._collector.run)
        self._collector.leases()
        return self._collector.view.in_force is not None

    def _recovery(self) -> None:
        self._say("recovery window")
        self._window("recovery", "start")
        self._wait(lambda: explored.back(self._collector.view), BACK_LIMIT)
        self._window("recovery", "end")

    def _seen(self, span: Span) -> bool:
        view = self._collector.view
        n = sum(len(view.requests(route, span)) for route in view.routes)
        return n >= MINIMUM and explored.enough(view, span)

    def _met(self) -> bool:
        """Whether every fault met something, and every route was asked often enough meanwhile."""
        view = self._collector.view
        return explored.enough(view, view.fault) and all(lease["exercised"]["holds"] for lease in view.leases)

    def _unrest(self, span: Span) -> str:
        return explored.unrest(self._collector.view, span)

    def _window(self, name: str, edge: str) -> None:
        self._collector.write("window", sync=True, window=name, edge=edge, wall=time.time())

    def _end(self, window: str) -> None:
        """Ends a window and waits until what was asked in it is answered under the same conditions."""
        self._window(window, "end")
        wall, routes = time.time(), self._collector.view.routes
        self._wait(lambda: all(self._collector.view.answered(route, wall) for route in routes), self._patience)

    def _wait(self, condition: Callable[[], object], limit: float) -> bool:
        def polled() -> bool:
            self._collector.poll()
            return bool(condition())

        return wait(polled, limit)


def _load(catalogue: Catalogue, name: str | None, problems: list[Problem]) -> Load | None:
    """None where `problems` say why."""
    try:
        found = [load.read(each, catalogue) for each in ([name] if name else load.names(catalogue.directory))]
    except InputError as error:
        problems += error.problems
        return None
    if not found:
        message = f"no load profile in {catalogue.directory / load.DIRECTORY / 'profiles'}"
        problems.append(Problem(message, "write one: nobody would see what a broken edge does to users"))
    return max(found, key=lambda each: len(each.profile.routes), default=None)


def _edges(catalogue: Catalogue, names: Sequence[str], problems: list[Problem]) -> list[Edge]:
    every = [edge for edge in catalogue.edges if edge.port is not None]
    for name in names:
        if not any(_is(edge, name) for edge in every):
            problems.append(_unknown("edge", name, {edge.name for edge in every}))
    return [edge for edge in every if not names or any(_is(edge, name) for name in names)]


def _services(
    catalogue: Catalogue, names: Sequence[str] | None, unfit: Mapping[str, str], problems: list[Problem]
) -> list[str]:
    fit = [name for name in catalogue.services if name not in unfit]
    for name in names or ():
        if name in unfit:
            problems.append(Problem(unfit[name], "name another", key="--service", value=name))
        elif name not in fit:
            problems.append(_unknown("service", name, fit))
    return [name for name in fit if not names or name in names] if names is not None else []


def _unfit(catalogue: Catalogue, loaded: Load) -> dict[str, str]:
    """The services of which nobody could tell whether their loss was met, or that nothing could guard."""
    unfit = {
        name: f"{name}: no edge leads to it"
        for name in catalogue.services
        if all(edge.port is None for edge in catalogue.consumers(name))
    }
    asked = loaded.target(catalogue)
    return unfit | {asked: f"{asked}: the load asks it itself, and nothing stands before it"}


def _faults(names: Sequence[str], known: Collection[str], problems: list[Problem]) -> list[str]:
    problems += [_unknown("fault", name, known) for name in names if name not in known]
    return [name for name in known if not names or name in names]


def _key(edge: Edge) -> tuple[str, int | None]:
    return (edge.name, edge.port)


def _is(edge: Edge, name: str) -> bool:
    return name in (edge.name, f"{edge.name}:{edge.port}")


def _unknown(what: str, name: str, known: Collection[str]) -> Problem:
    return Problem(f"there is no {what} {name!r}", suggestion(name, known), key=f"--{what}", value=name)
