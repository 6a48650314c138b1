"""The requests of users as their traces tell them: which service called which, and how long it waited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gameday.statistics import quantile
from gameday.tools.jaeger import Span

# Of a 95th percentile this many are the fewest that have one beside their maximum.
FEWEST = 20
_SHARE = 0.95
# Clocks of two services on two machines differ.
_SKEW_SECONDS = 0.01


@dataclass(frozen=True)
class Call:
    """`span` is the provider's, `within` that of the call in which this one was made; both ids, empty if there is none.

    What goes on after the request was answered is not `waited` for.
    """

    consumer: str
    provider: str
    seconds: float
    waited: bool
    span: str
    within: str = ""

    @property
    def edge(self) -> str:
        return f"{self.consumer}->{self.provider}"


@dataclass(frozen=True)
class Request:
    """`route` is how the service that users reach first calls it."""

    route: str
    trace: str
    calls: Sequence[Call]


@dataclass(frozen=True)
class Measured:
    """Of the requests of one route that took an edge: the 95th percentile of something, and a trace that shows it."""

    route: str
    edge: str
    value: float
    n: int
    trace: str


def read(traces: Sequence[Sequence[Span]], entry: str) -> list[Request]:
    """Those that began at `entry`. A trace without its beginning is passed over: nobody knows what it is part of."""
    found = []
    for spans in traces:
        roots = [span for span in spans if not span.parent and span.service == entry]
        if len(roots) == 1:
            found.append(Request(roots[0].name, roots[0].trace, tuple(_calls(spans, roots[0]))))
    return found


def _calls(spans: Sequence[Span], root: Span) -> Iterator[Call]:
    """A span of one service below that of another is a call, but for one that takes a message."""
    known = {span.id: span for span in spans}
    for span in spans:
        parent = known.get(span.parent)
        if parent is None or parent.service == span.service or span.kind == "consumer":
            continue
        waited = span.end <= root.end + _SKEW_SECONDS
        yield Call(parent.service, span.service, span.end - span.start, waited, span.id, _entered(parent, known))


def _entered(span: Span, known: Mapping[str, Span]) -> str:
    """The first span of its service above `span`: the one with which the service was called."""
    seen = {span.id}
    while (parent := known.get(span.parent)) and parent.service == span.service and parent.id not in seen:
        seen.add(parent.id)
        span = parent
    return span.id


def measured(values: Mapping[tuple[str, str], Sequence[tuple[float, str]]]) -> tuple[list[Measured], list[str]]:
    """By route and edge, from (value, trace) of each request; and what there were too few of to say anything."""
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
