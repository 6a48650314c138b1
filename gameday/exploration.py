"""Breaks every edge that the load uses, with every fault of an edge, and records what users of each route saw.

A pair is an edge and a fault. Each has a history of its own, with a control, a fault and a recovery
window as an experiment has, and is judged by `gameday.checks.explored`, which needs no expectation.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gameday import __version__, experiment, load, runs
from gameday.bench import Bench, wait
from gameday.catalogue import Catalogue, Edge
from gameday.checks import explored
from gameday.checks.control import MINIMUM
from gameday.checks.view import Span
from gameday.collector import Collector
from gameday.engine import READING, UNDO_LIMIT, WATCH_LIMIT, plan, recorded, uninterrupted
from gameday.errors import GamedayError, InputError, Problem
from gameday.journal import Journal
from gameday.judge import JOURNAL, judge, read
from gameday.load import Load
from gameday.progress import Progress
from gameday.runtime import procfs
from gameday.tools.locust import LoadChild
from gameday.verdict import Result
from gameday.yamlfile import suggestion

# What each fault of an edge is given: hard enough for a missing guard to show.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "down": {},
    "latency": {"latency": 2000},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "limit_data": {"bytes": 100},
}
# Real seconds.
FIRST_LOOK = 5.0
REST_LIMIT = 60.0
BACK_LIMIT = 60.0
LEASE = 120.0


@dataclass(frozen=True)
class Pair:
    """`number` counts those that are drawn: a pair may come again."""

    edge: Edge
    fault: str
    number: int | None = None

    @property
    def target(self) -> str:
        return f"{self.edge.name}:{self.edge.port}"

    @property
    def title(self) -> str:
        return f"{self.fault} on {self.target}"

    @property
    def name(self) -> str:
        drawn = "" if self.number is None else f"{self.number:03}-"
        return f"{drawn}{self.edge.consumer}-{self.edge.provider}-{self.edge.port}-{self.fault}"


@dataclass(frozen=True)
class Draw:
    """Pairs at random, the same by the same `seed`, as many as begin within `seconds`."""

    seed: int
    seconds: float

    def of(self, every: Sequence[Pair], used: Sequence[Edge]) -> Iterator[Pair]:
        """What the load does not use is drawn too, and passed over: what comes next must not depend on it."""
        ends, drawn, number = time.monotonic() + self.seconds, random.Random(self.seed), 0  # noqa: S311
        while time.monotonic() < ends and any(pair.edge in used for pair in every):
            pair = drawn.choice(every)
            if pair.edge in used:
                number += 1
                yield replace(pair, number=number)


@dataclass(frozen=True)
class Exploration:
    """What is to be broken, and how; `hold` is how long each fault is in force at least, in real seconds.

    All of it in order, or what is drawn.
    """

    edges: Sequence[Edge]
    faults: Sequence[str]
    load: Load
    hold: float
    draw: Draw | None = None

    @classmethod
    def of(
        cls, catalogue: Catalogue, edges: Sequence[str], faults: Sequence[str], load_name: str | None, hold: float
    ) -> Exploration:
        """What is named; where nothing is, every edge, every fault, and the load that asks for the most routes.

        Raises InputError with everything that does not exist.
        """
        every = [edge for edge in catalogue.edges if edge.port is not None]
        known = sorted({edge.name for edge in every})
        problems = [_unknown("edge", name, known) for name in edges if not _named(every, name)]
        problems += [_unknown("fault", name, list(FAULTS)) for name in faults if name not in FAULTS]
        if problems:
            raise InputError(problems)
        wanted = [edge for edge in every if not edges or any(edge in _named(every, name) for name in edges)]
        kinds = [name for name in FAULTS if not faults or name in faults]
        return cls(wanted, kinds, _load(catalogue, load_name), hold)

    def pairs(self, used: Sequence[Edge]) -> Iterator[Pair]:
        every = [Pair(edge, fault) for edge in self.edges for fault in self.faults]
        if self.draw:
            return self.draw.of(every, used)
        return (pair for pair in every if pair.edge in used)

    def pruned(self, used: Sequence[Edge]) -> tuple[str, ...]:
        return tuple(f"{edge.name}:{edge.port}: the load does not use it" for edge in self.edges if edge not in used)


class Explorer:
    """Explores pairs one after another on one system; the load goes on between them."""

    def __init__(self, bench: Bench, exploration: Exploration, directory: Path, progress: Progress) -> None:
        self._bench = bench
        self._exploration = exploration
        self._directory = directory
        self._progress = progress
        directory.mkdir(parents=True, exist_ok=True)
        asking = experiment.check(experiment.files(bench.catalogue.directory), bench.catalogue)
        self._child = LoadChild(plan(exploration.load, bench, asking), directory / "load.log")

    def close(self) -> None:
        self._child.kill()

    def used(self) -> list[Edge]:
        """The edges that carry anything while the load goes on for a while."""
        self._progress.step("looking which edges the load uses")
        self._bench.require_watched(WATCH_LIMIT)
        self._await_load()
        before = self._attempts()
        wait(lambda: not self._child.alive, FIRST_LOOK)
        after = self._attempts()
        edges = self._exploration.edges
        return [edge for edge in edges if after.get(_key(edge), 0) > before.get(_key(edge), 0)]

    def explore(self, pair: Pair) -> Result:
        """The judged run of one pair. Raises GamedayError where it could not begin."""
        directory = self._directory / pair.name
        runs.prepare(directory)
        self._bench.require_whole()
        journal = Journal(directory / JOURNAL)
        try:
            collector = Collector(journal, self._bench, runs.identity(pair.name), self._child)
            collector.write("run", sync=True, **self._describe(pair, collector.run))
            with recorded(collector):
                _Windows(self._bench, pair, self._exploration, collector, self._say(pair)).run()
        finally:
            journal.close()
        return judge(read(directory), directory)

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

    def _say(self, pair: Pair) -> Callable[[str], None]:
        return lambda text: self._progress.step(f"{pair.title}: {text}")

    def _describe(self, pair: Pair, run: str) -> dict[str, Any]:
        bench = self._bench
        return {
            "id": run,
            "suite": "exploration",
            "experiment": pair.name,
            "title": pair.title,
            "edge": pair.target,
            "fault": pair.fault,
            "arguments": dict(FAULTS[pair.fault]),
            "on_loss": str(pair.edge.on_loss) if pair.edge.on_loss else None,
            "timeout": self._exploration.load.profile.timeout,
            "gameday": __version__,
            "time_scale": bench.scale.factor,
            "scrape_interval": bench.prometheus.scrape_interval() if bench.prometheus else 0.0,
            "catalogue_files": [str(file) for file in bench.catalogue.files],
            "substitutions": bench.status.get("substitutions", {}),
        }


class _Windows:
    """The three windows of one pair."""

    def __init__(
        self, bench: Bench, pair: Pair, exploration: Exploration, collector: Collector, say: Callable[[str], None]
    ) -> None:
        self._bench = bench
        self._pair = pair
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
        """Whether the fault was in force at all."""
        self._say("fault window")
        self._window("fault", "start")
        owner = procfs.identify(os.getpid())
        self._bench.control.call(
            "inject",
            fault=self._pair.fault, target=self._pair.target, arguments=dict(FAULTS[self._pair.fault]),
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
        """Whether the fault met something, and every route was asked often enough meanwhile."""
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


def _load(catalogue: Catalogue, name: str | None) -> Load:
    if name:
        return load.read(name, catalogue)
    found = [load.read(each, catalogue) for each in load.names(catalogue.directory)]
    if not found:
        message = f"no load profile in {catalogue.directory / load.DIRECTORY / 'profiles'}"
        raise InputError(Problem(message, "write one: nobody would see what a broken edge does to users"))
    return max(found, key=lambda each: len(each.profile.routes))


def _key(edge: Edge) -> tuple[str, int | None]:
    return (edge.name, edge.port)


def _named(edges: Sequence[Edge], name: str) -> list[Edge]:
    return [edge for edge in edges if name in (edge.name, f"{edge.name}:{edge.port}")]


def _unknown(what: str, name: str, known: list[str]) -> Problem:
    return Problem(f"there is no {what} {name!r}", suggestion(name, known), key=f"--{what}", value=name)
