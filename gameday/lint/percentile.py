"""What nearly every request of a route did on an edge: the 95th percentile, and the smells of those over a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gameday.lint.rule import Look, Smell, System
from gameday.statistics import quantile

# Of a 95th percentile this many are the fewest that have one beside their maximum.
FEWEST = 20
_SHARE = 0.95
# By route and edge, (value, trace) of each request.
Values = Mapping[tuple[str, str], Sequence[tuple[float, str]]]


@dataclass(frozen=True)
class Measured:
    """Of the requests of one route that took an edge: the 95th percentile of something, and a trace that shows it."""

    route: str
    edge: str
    value: float
    n: int
    trace: str


def over(limit: float, values: Values, told: Callable[[Measured], str], system: System) -> Look:
    """A smell of each route and edge above `limit`, of which `told` says what was seen."""
    found, few = measured(values)
    smells = [
        Smell(
            f"{each.route} over {each.edge}",
            f"{told(each)}, such as gameday trace {each.trace}",
            system.place(each.edge),
        )
        for each in found
        if each.value > limit
    ]
    return Look(smells, f"edges of routes in traces: {len(found)}" if found else "", few)


def measured(values: Values) -> tuple[list[Measured], list[str]]:
    """Of each route and edge; and what there were too few of to say anything."""
    enough = {key: pairs for key, pairs in values.items() if len(pairs) >= FEWEST}
    found = [_measured(route, edge, pairs) for (route, edge), pairs in enough.items()]
    few = [
        f"{route}: only {len(pairs)} traces of requests over {edge}, {FEWEST} are needed"
        for (route, edge), pairs in values.items()
        if len(pairs) < FEWEST
    ]
    return found, few


def _measured(route: str, edge: str, pairs: Sequence[tuple[float, str]]) -> Measured:
    value = quantile([value for value, _ in pairs], _SHARE)
    trace = next(trace for each, trace in pairs if each == value)
    return Measured(route, edge, value, len(pairs), trace)
