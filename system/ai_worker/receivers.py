"""Those who are told outcomes, each behind a breaker: one who never answers must not keep the others waiting."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from system.ai_worker.destination import Way
from system.kit import signals
from system.kit.breaker import Breaker, CircuitBreaker, Consecutive, Unguarded, tell

OUTSIDE = "ai-worker->outside"
# Receivers outside are as many as somebody likes to name.
REMEMBERED = 1000


@dataclass(frozen=True)
class Receiver:
    """`edge` is what metrics know it by: all receivers outside are one."""

    edge: str
    breaker: Breaker


class Receivers:
    """`services` by name. With 0 `failures` there are no breakers."""

    def __init__(self, services: list[str], failures: int, reset_seconds: float) -> None:
        self._failures = failures
        self._reset_seconds = reset_seconds
        self._known: OrderedDict[str, Receiver] = OrderedDict()
        self._services = {name: self._made(f"ai-worker->{name}", told=True) for name in services}
        for edge in (OUTSIDE, *(each.edge for each in self._services.values())):
            signals.announce_edge(edge, falls_back=False)

    def of(self, way: Way) -> Receiver:
        if way.service:
            return self._services[way.service]
        host = way.target.authority
        if host not in self._known:
            self._known[host] = self._made(OUTSIDE, told=False)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[host]

    def _made(self, edge: str, *, told: bool) -> Receiver:
        if not self._failures:
            return Receiver(edge, Unguarded(edge))
        listeners = (tell,) if told else ()
        return Receiver(
            edge, CircuitBreaker(edge, Consecutive(self._failures), self._reset_seconds, listeners=listeners)
        )
