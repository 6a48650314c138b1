"""What the faults of a service have in common: the target, and who met its absence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gameday.catalogue import Catalogue, Service
from gameday.errors import Problem
from gameday.faults import Evidence, arguments
from gameday.runtime import Counters, Endpoint, Runtime, Wire


class ServiceFault:
    """`takes` is the model of the arguments. The target is a service with all its replicas, or one of them: `web-2`.

    Its evidence of use are the proxies of the edges that lead to the target.
    """

    name = ""
    takes: type[arguments.Arguments] = arguments.Arguments

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        self.target = target
        self.arguments = given
        self._before: dict[str, Counters] = {}

    def problems(self, catalogue: Catalogue) -> Sequence[Problem]:
        wrong = list(arguments.problems(self.name, self.takes, self.arguments))
        try:
            catalogue.replicas(self.target)
        except KeyError:
            wrong.insert(0, self._unknown(catalogue))
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

    def _unknown(self, catalogue: Catalogue) -> Problem:
        try:
            service = catalogue.service(self.target)
        except KeyError:
            message, mend = f"there is no service {self.target!r}", arguments.nearest(self.target, catalogue.services)
        else:
            message, mend = self._no_replica(service)
        return Problem(message, mend, key="target", value=self.target)

    def _no_replica(self, service: Service) -> tuple[str, str]:
        if service.replicas == 1:
            message = f"{service.name!r} has no replica {self.target!r}: it runs once"
            return message, f"target {service.name}, or gameday up --scale {service.name}=2"
        mend = f"name one: {', '.join(each.replica for each in service.each())}; or all: {service.name}"
        return f"there is no replica {self.target!r}", mend

    async def _counters(self, runtime: Runtime) -> dict[str, Counters]:
        """Of each wire that leads to the target; where that is one of several replicas, what met this one."""
        wires = map(runtime.wire, runtime.catalogue.consumers(runtime.catalogue.service(self.target).name))
        return {
            f"{wire.edge.name}:{wire.edge.port}": await wire.counters(self._one(runtime, wire))
            for wire in wires
            if wire is not None
        }

    def _one(self, runtime: Runtime, wire: Wire) -> Endpoint | None:
        if self.target in runtime.catalogue.services:
            return None
        return runtime.endpoint(self.target, wire.edge.port)


def _met(before: Counters | None, now: Counters) -> dict[str, int]:
    before = before or Counters()
    return {
        "refused": now.refused - before.refused,
        "unanswered": max(0, now.unanswered - before.unanswered),
    }
