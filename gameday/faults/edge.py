"""What the faults of an edge have in common: a toxic on the wire of one edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gameday.catalogue import Catalogue, Edge
from gameday.errors import GamedayError, Problem
from gameday.faults import Evidence, arguments
from gameday.runtime import Runtime, Toxic, Wire


class EdgeFault:
    """`name` is the kind of the toxic; `takes` the model of the arguments, with their units."""

    name = ""
    takes: type[arguments.Arguments] = arguments.Arguments

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        self.target = target
        self.arguments = given
        self._toxic: Toxic | None = None
        self._met_before = 0

    def problems(self, catalogue: Catalogue) -> Sequence[Problem]:
        return [*self._target_problems(catalogue), *arguments.problems(self.name, self.takes, self.arguments)]

    def obstacles(self, runtime: Runtime) -> Sequence[Problem]:
        if runtime.wire(self._edge(runtime)) is not None:
            return []
        message = f"{self.target} does not run through a proxy"
        return [Problem(message, "gameday down && gameday up --wire all", key="target", value=self.target)]

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:
        wire = self._wire(runtime)
        self._met_before = (await wire.counters()).met
        self._toxic = self._make(lease, ttl)
        await wire.add(self._toxic)

    async def in_force(self, runtime: Runtime) -> Evidence:
        toxics = await self._wire(runtime).toxics()
        return Evidence(self._toxic in toxics, {"toxics": [f"{toxic.kind} {toxic.name}" for toxic in toxics]})

    async def exercised(self, runtime: Runtime) -> Evidence:
        met = (await self._wire(runtime).counters()).met - self._met_before
        return Evidence(met > 0, {"met": met})

    async def undo(self, runtime: Runtime) -> None:
        if self._toxic is not None:
            await self._wire(runtime).remove(self._toxic.name)

    async def undone(self, runtime: Runtime) -> Evidence:
        names = [toxic.name for toxic in await self._wire(runtime).toxics()]
        return Evidence(self._toxic is None or self._toxic.name not in names, {"toxics": names})

    def mend(self) -> str:
        return "gameday down && gameday up --wire all"

    def _make(self, lease: str, ttl: float) -> Toxic:
        given = self.takes.model_validate(dict(self.arguments))
        if isinstance(given, arguments.ToxicArguments):
            return Toxic(lease, self.name, given.attributes(), given.stream, given.toxicity, ttl)
        return Toxic(lease, self.name, {}, ttl=ttl)

    def _target_problems(self, catalogue: Catalogue) -> list[Problem]:
        edges = catalogue.find(self.target)
        if len(edges) == 1:
            return []
        if edges:
            names = ", ".join(f"{edge.name}:{edge.port}" for edge in edges)
            return [Problem(f"{self.target} is several edges", f"name one: {names}", key="target", value=self.target)]
        mend = arguments.nearest(self.target, (edge.name for edge in catalogue.edges))
        return [Problem(f"there is no edge {self.target!r}", mend, key="target", value=self.target)]

    def _edge(self, runtime: Runtime) -> Edge:
        return runtime.catalogue.find(self.target)[0]

    def _wire(self, runtime: Runtime) -> Wire:
        wire = runtime.wire(self._edge(runtime))
        if wire is None:
            raise GamedayError(f"{self.target} does not run through a proxy any more")
        return wire
