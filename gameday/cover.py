"""Which experiments the gate runs: few that break together all that any of them breaks.

An experiment covers the families of its faults, each edge that they break, each breaker that it expects
to open, each queue that it expects to fill, each alert that it expects to fire and each panel that it moves.
A set that covers whatever all experiments cover is found greedily (Chvatal 1979): the experiment that adds
the most, again and again. As few as fire every alert come first, since a gate in which an alert was not heard
knows too little.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gameday.catalogue import Catalogue, Edge
from gameday.experiment import ACTIVITIES, Experiment
from gameday.faults.registry import family

# What one gate has time for.
MOST = 12
_ALERT = "alert "


@dataclass(frozen=True)
class Cover:
    """`chosen` in the order in which the gate runs them; `left_out` says of each other one why."""

    chosen: Sequence[Experiment]
    left_out: Sequence[str]


def cover(
    experiments: Sequence[Experiment],
    catalogue: Catalogue,
    moved: Mapping[str, Collection[tuple[str, str]]] = MappingProxyType({}),
    seldom: Collection[str] = (),
    most: int = MOST,
) -> Cover:
    """At most `most` of `experiments`, and the same ones each time. `moved`: by experiment the panels, board and title.
    `seldom`: alerts that need no cover.

    Where two add as much, it is the one that covers more, then the first by name.
    """
    spared = {f"{_ALERT}{name}" for name in seldom}
    breaks = {
        each.name: (covers(each, catalogue) | _panels(each, moved.get(each.name, ()))) - spared for each in experiments
    }
    chosen = _fewest(breaks)[:most]
    while len(chosen) < most and (best := _most(breaks, chosen)):
        chosen.append(best)
    covered = set[str]().union(*(breaks[name] for name in chosen))
    rest = sorted((each for each in experiments if each.name not in chosen), key=lambda each: each.name)
    taken = ordered([each for each in experiments if each.name in chosen])
    return Cover(taken, [_why(each, breaks[each.name] - covered) for each in rest])


def _fewest(breaks: Mapping[str, set[str]]) -> list[str]:
    """As few names as fire every alert, found by way of what adds the most: without any of them one would be silent."""
    chosen: list[str] = []
    while (best := _most(breaks, chosen)) and _alerts(breaks, [best]) - _alerts(breaks, chosen):
        chosen.append(best)
    for name in reversed(chosen):
        others = [other for other in chosen if other != name]
        if not _alerts(breaks, [name]) - _alerts(breaks, others):
            chosen = others
    return chosen


def _most(breaks: Mapping[str, set[str]], chosen: Sequence[str]) -> str | None:
    """The name that adds the most to those that are chosen, an alert above all; None where none adds anything."""
    covered = set[str]().union(*(breaks[name] for name in chosen))

    def worth(name: str) -> tuple[bool, int, int]:
        new = breaks[name] - covered
        return any(each.startswith(_ALERT) for each in new), len(new), len(breaks[name])

    best = max(sorted(breaks.keys() - set(chosen)), key=worth, default=None)
    return best if best is not None and breaks[best] - covered else None


def _alerts(breaks: Mapping[str, set[str]], names: Sequence[str]) -> set[str]:
    return {each for name in names for each in breaks[name] if each.startswith(_ALERT)}


def ordered(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Those of one load after another, since a load takes time to begin."""
    return sorted(experiments, key=lambda each: (each.load.name, each.name))


def covers(experiment: Experiment, catalogue: Catalogue) -> set[str]:
    """What the experiment breaks and expects, as words."""
    expect = experiment.extension.expect
    found = {f"breaker {each.edge}" for each in expect.breaker}
    found |= {f"queue {each.queue}" for each in expect.queues}
    found |= {f"{_ALERT}{each.name}" for each in expect.alerts if not each.silent}
    for fault, target in _faults(experiment):
        edges = catalogue.find(target) or tuple(catalogue.consumers(target))
        found |= {f"faults of {family(fault)}s", *(_word(edge, catalogue) for edge in edges)}
    return found


def _word(edge: Edge, catalogue: Catalogue) -> str:
    """Every service has an edge to the collector of traces, and all of them are one."""
    traced = edge.provider == catalogue.telemetry.traces
    return f"edges to {edge.provider}" if traced else f"edge {edge.name}"


def _panels(experiment: Experiment, moved: Collection[tuple[str, str]]) -> set[str]:
    expected = [(each.board, each.panel) for each in experiment.extension.expect.panels]
    return {f"panel {board}: {title}" for board, title in (*moved, *expected)}


def touches(experiment: Experiment, catalogue: Catalogue) -> set[str]:
    """The services that the experiment is about: those it breaks, who talks with them, and where its load goes."""
    names = {experiment.load.target(catalogue)}
    for _, target in _faults(experiment):
        edges = catalogue.find(target) or tuple(catalogue.consumers(target))
        # Of a queue: its consumer.
        names |= {
            target,
            target.partition(".")[0],
            *(edge.consumer for edge in edges),
            *(edge.provider for edge in edges),
        }
    return names & set(catalogue.services)


def _faults(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Kind and target of each injection of the method."""
    for activity in experiment.source.data["method"]:
        provider = activity["provider"]
        if provider.get("module") == ACTIVITIES and provider.get("func") == "inject":
            arguments: dict[str, Any] = provider.get("arguments", {})
            yield str(arguments["fault"]), str(arguments["target"])


def _why(experiment: Experiment, missing: set[str]) -> str:
    if missing:
        return f"experiment {experiment.name}: no time; nothing else covers {', '.join(sorted(missing))}"
    return f"experiment {experiment.name}: others break what it breaks"
