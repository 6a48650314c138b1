"""What an exploration breaks: case after case of one fault, or of several at once, the same by the same seed."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from gameday.catalogue import Catalogue, Edge
from gameday.catalogue.model import OnLoss
from gameday.footprints import Footprints

# What each fault is given: hard enough for a missing guard to show.
EDGE_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "down": {},
    "latency": {"latency": 2000},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "limit_data": {"bytes": 100},
}
SERVICE_FAULTS: Mapping[str, Mapping[str, Any]] = {"kill": {}, "stop": {}, "pause": {}, "cpu": {"share": 0.9}}
_UNNOTICED = frozenset({OnLoss.FALLBACK, OnLoss.QUEUED})


@dataclass(frozen=True)
class Break:
    """One fault on one target: an edge `a->b:80`, or a service. `edges`: that edge, or all that lead to the service."""

    fault: str
    target: str
    edges: tuple[Edge, ...]

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {**EDGE_FAULTS, **SERVICE_FAULTS}[self.fault]

    @property
    def title(self) -> str:
        return f"{self.fault} on {self.target}"

    @property
    def name(self) -> str:
        return f"{self.target}-{self.fault}".replace("->", "-").replace(":", "-")

    def apart(self, other: Break) -> bool:
        """Whether one leaves the other something to break: it is not the same, nor is one a service that uses it."""
        targets = {self.target, other.target}
        return not set(self.edges) & set(other.edges) and not any(
            edge.consumer in targets for edge in (*self.edges, *other.edges)
        )


@dataclass(frozen=True)
class Case:
    """What is in force at once, and judged as one. `number` counts those that are drawn: one may come again."""

    breaks: tuple[Break, ...]
    number: int | None = None

    @property
    def title(self) -> str:
        return " and ".join(each.title for each in self.breaks)

    @property
    def name(self) -> str:
        drawn = "" if self.number is None else f"{self.number:03}-"
        return drawn + "+".join(each.name for each in self.breaks)

    @property
    def on_loss(self) -> OnLoss | None:
        """What all that is broken declares; None where that is not the same of each edge."""
        declared = {edge.on_loss for each in self.breaks for edge in each.edges}
        if declared and declared <= _UNNOTICED:
            return OnLoss.FALLBACK if OnLoss.FALLBACK in declared else OnLoss.QUEUED
        return declared.pop() if len(declared) == 1 else None


@dataclass(frozen=True)
class Use:
    """What the load was seen to use: its edges, and what its recorded requests passed through."""

    edges: Sequence[Edge]
    requests: Footprints

    def of(self, each: Break) -> bool:
        return any(edge in self.edges for edge in each.edges)


class Order:
    """Which breaks are made, alone or together, and in which order: here one after another, as they come.

    `use` is what the load was seen to use.
    """

    def cases(self, breaks: Sequence[Break], use: Use) -> Iterator[Case]:
        return (Case((each,)) for each in breaks if use.of(each))

    def left_out(self, breaks: Sequence[Break], use: Use) -> Iterator[str]:  # noqa: ARG002 - others need them
        """What is not made although the load uses it, and why."""
        yield from ()


@dataclass(frozen=True)
class Draw(Order):
    """At random, as many cases as begin within `seconds`, each of `at_once` faults or of as many as can be met."""

    seed: int
    seconds: float
    at_once: int = 1

    def cases(self, breaks: Sequence[Break], use: Use) -> Iterator[Case]:
        """A case draws the same whatever came before it, and passes over what the load does not use."""
        ends, drawn, number = time.monotonic() + self.seconds, random.Random(self.seed), 0  # noqa: S311
        while time.monotonic() < ends and any(use.of(each) for each in breaks):
            number += 1
            shuffled = drawn.sample(breaks, len(breaks))
            yield Case(self._first(each for each in shuffled if use.of(each)), number)

    def _first(self, shuffled: Iterator[Break]) -> tuple[Break, ...]:
        chosen: list[Break] = []
        for each in shuffled:
            if all(each.apart(other) for other in chosen):
                chosen.append(each)
            if len(chosen) == self.at_once:
                break
        return tuple(chosen)


@dataclass(frozen=True)
class Pairs(Order):
    """Two edges broken at once, `most` times at most, and before that each of those faults alone.

    No two edges come again before all have come, and which come first follows from `seed` alone.
    """

    seed: int
    most: int

    def cases(self, breaks: Sequence[Break], use: Use) -> Iterator[Case]:
        chosen = self._ordered(breaks, use)[: self.most]
        alone = {each for pair in chosen for each in pair}
        yield from (Case((each,)) for each in breaks if each in alone)
        yield from (Case(pair) for pair in chosen)

    def left_out(self, breaks: Sequence[Break], use: Use) -> Iterator[str]:
        yield from _apart(breaks, use)
        found = self._ordered(breaks, use)
        if rest := found[self.most :]:
            never = {_edges(pair) for pair in rest} - {_edges(pair) for pair in found[: self.most]}
            yield (
                f"{len(rest)} of {len(found)} pairs of faults, beyond {self.most} (--most); "
                f"{len(never)} of {len({_edges(pair) for pair in found})} pairs of edges were not broken at once"
            )

    def _ordered(self, breaks: Sequence[Break], use: Use) -> list[tuple[Break, Break]]:
        """Each draws its place by its own name: what the load uses this time changes nothing of the rest."""
        found = [pair for pair in _pairs(breaks, use) if not _hidden(pair, use)]
        found.sort(key=lambda pair: random.Random(f"{self.seed} {Case(pair).name}").random())  # noqa: S311
        times: Counter[frozenset[Edge]] = Counter()
        turns = {}
        for pair in found:
            times[_edges(pair)] += 1
            turns[pair] = times[_edges(pair)]
        return sorted(found, key=lambda pair: turns[pair])


def breaks(catalogue: Catalogue, edges: Sequence[Edge], services: Sequence[str], faults: Sequence[str]) -> list[Break]:
    """Those of `faults` that edges can have on each of `edges`, then those of services on each of `services`."""
    found = [
        Break(fault, f"{edge.name}:{edge.port}", (edge,)) for edge in edges for fault in EDGE_FAULTS if fault in faults
    ]
    return found + [
        Break(fault, service, tuple(edge for edge in catalogue.consumers(service) if edge.port is not None))
        for service in services
        for fault in SERVICE_FAULTS
        if fault in faults
    ]


def _pairs(breaks: Sequence[Break], use: Use) -> Iterator[tuple[Break, Break]]:
    used = [each for each in breaks if use.of(each)]
    return (pair for pair in combinations(used, 2) if pair[0].edges != pair[1].edges)


def _edges(pair: tuple[Break, Break]) -> frozenset[Edge]:
    return frozenset(edge for each in pair for edge in each.edges)


def _hidden(pair: tuple[Break, Break], use: Use) -> tuple[str, str] | None:
    """Why no request can meet both, and which of both is not met; None where one may."""
    if not use.requests.together(_edges(pair)):
        return f"{pair[0].target}: no recorded request used it and", pair[1].target
    for one, other in (pair, pair[::-1]):
        ways = [edge for edge in use.edges if edge.name == one.edges[0].name]
        if one.fault == "down" and len(ways) == 1 and use.requests.only_over(ways[0], other.edges[0]):
            return f"{one.title}: no recorded request would come to", other.target
    return None


def _apart(breaks: Sequence[Break], use: Use) -> Iterator[str]:
    """Of each edge those that no request meets together with it."""
    told: dict[str, dict[str, None]] = {}
    for pair in _pairs(breaks, use):
        if why := _hidden(pair, use):
            told.setdefault(why[0], {})[why[1]] = None
    return (f"{why} {', '.join(others)}" for why, others in told.items())
