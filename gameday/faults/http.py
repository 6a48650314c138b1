"""What the faults of HTTP have in common: a toxic on the requests of one edge."""

from __future__ import annotations

from pydantic import Field

from gameday.catalogue import Catalogue, EdgeKind
from gameday.errors import Problem
from gameday.faults import arguments
from gameday.faults.edge import EdgeFault
from gameday.runtime import Toxic


class HttpArguments(arguments.Arguments):
    """`toxicity` is the share of the requests of `route` that the fault acts on; `*` is anything, in either part."""

    route: str = Field(default="* *", pattern=r"^[A-Z*]+ [/*]\S*$")
    toxicity: float = Field(default=1.0, gt=0, le=1)


class HttpFault(EdgeFault):
    takes: type[arguments.Arguments] = HttpArguments

    def _make(self, lease: str, ttl: float) -> Toxic:
        attributes = self.takes.model_validate(dict(self.arguments)).model_dump()
        return Toxic(lease, self.name, attributes, "upstream", attributes.pop("toxicity"), ttl)

    def _target_problems(self, catalogue: Catalogue) -> list[Problem]:
        if wrong := super()._target_problems(catalogue):
            return wrong
        (edge,) = catalogue.find(self.target)
        if edge.kind is EdgeKind.HTTP:
            return []
        mend = arguments.nearest(self.target, (each.name for each in catalogue.edges if each.kind is EdgeKind.HTTP))
        return [Problem(f"{self.target} speaks {edge.kind}, not HTTP", mend, key="target", value=self.target)]
