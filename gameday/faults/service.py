"""What the faults of a service have in common: the target, and who met its absence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gameday.catalogue import Catalogue
from gameday.errors import Problem
from gameday.faults import Evidence, arguments
from gameday.runtime import Counters, Runtime


class ServiceFault:
    """Takes no arguments. Its evidence of use are the proxies of the edges that lead to the target."""

    name = ""

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        self.target = target
        self.arguments = given
        self._before: dict[str, Counters] = {}

    def problems(self, catalogue: Catalogue) -> Sequence[Problem]:
        wrong = list(arguments.problems(self.name, arguments.Arguments, self.arguments))
        if self.target not in catalogue.services:
            mend = arguments.nearest(self.target, catalogue.services)
            wrong.insert(0, Problem(f"there is no service {self.target!r}", mend, key="target", value=self.target))
        return wrong

    def obstacles(self, runtime: Runtime) -> Sequence[Problem]:
        if runtime.processes(self.target):
            return []
        message = f"{self.target} has no process: there is nothing to {self.name}"
        return [Problem(message, f"gameday restart {self.target}", key="target", value=self.target)]

    async def mark(self, runtime: Runtime) -> None:
        """From here on counts what meets the fault; what the target did before does not."""
        self._before = await self._counters(runtime)

    async def exercised(self, runtime: Runtime) -> Evidence:
        edges = {name: _met(self._before.get(name), now) for name, now in (await self._counters(runtime)).items()}
        if not edges:
            return Evidence(False, {"reason": f"no wired edge leads to {self.target}"})
        return Evidence(any(any(counts.values()) for counts in edges.values()), {"edges": edges})

    async def _counters(self, runtime: Runtime) -> dict[str, Counters]:
        wires = [runtime.wire(edge) for edge in runtime.catalogue.consumers(self.target)]
        return {f"{wire.edge.name}:{wire.edge.port}": await wire.counters() for wire in wires if wire is not None}


def _met(before: Counters | None, now: Counters) -> dict[str, int]:
    before = before or Counters()
    return {
        "refused": now.refused - before.refused,
        "unanswered": max(0, now.unanswered - before.unanswered),
    }
