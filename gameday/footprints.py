"""Which services recorded requests passed through, by their traces."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gameday.catalogue import Edge
from gameday.tools.jaeger import Jaeger, Span

# So many of the newest traces are looked at.
NEWEST = 300


@dataclass(frozen=True)
class Footprints:
    """`passed`: the services of each trace. `entered`: by service those that called it, "" for a caller without spans.

    A service that left no span may have been passed by any request.
    """

    passed: frozenset[frozenset[str]] = frozenset()
    entered: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, jaeger: Jaeger, entry: str) -> Footprints:
        """Of the newest requests that the service `entry` was asked. Raises GamedayError where nobody answers."""
        return cls.of(jaeger.recent(entry, NEWEST))

    @classmethod
    def of(cls, traces: Iterable[Sequence[Span]]) -> Footprints:
        passed: set[frozenset[str]] = set()
        entered: dict[str, set[str]] = {}
        for spans in traces:
            passed.add(frozenset(span.service for span in spans))
            owners = {span.id: span.service for span in spans}
            for span in spans:
                caller = owners.get(span.parent, "")
                if caller != span.service:
                    entered.setdefault(span.service, set()).add(caller)
        return cls(frozenset(passed), {service: frozenset(callers) for service, callers in entered.items()})

    def together(self, edges: Collection[Edge]) -> bool:
        """Whether one request may have used all of `edges`: those of their services that leave spans share a trace."""
        traced = frozenset[str]().union(*self.passed)
        wanted = {end for edge in edges for end in (edge.consumer, edge.provider)} & traced
        return any(wanted <= passed for passed in self.passed) if wanted else True

    def only_over(self, first: Edge, second: Edge) -> bool:
        """Whether every recorded request to the consumer of `second` came from the consumer of `first`, over it."""
        return first.provider == second.consumer and self.entered.get(first.provider) == frozenset({first.consumer})
