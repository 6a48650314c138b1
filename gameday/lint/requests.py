"""The requests of users as their traces tell them: which service called which, and how long it waited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gameday.tools.jaeger import Span

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
