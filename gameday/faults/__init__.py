"""Named ways to break a service or an edge. One fault a module, named as on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gameday.catalogue import Catalogue
from gameday.errors import Problem
from gameday.faults.arguments import Arguments
from gameday.runtime import Runtime


@dataclass(frozen=True)
class Evidence:
    """`holds` with the `facts` (JSON values) that say why or why not."""

    holds: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


class Fault(Protocol):
    """One fault on one target. An instance serves one lease.

    The order of calls is: problems -> obstacles (both pure) -> inject -> in_force* ->
    exercised* -> undo -> undone. Every method but the pure ones may raise; the lease
    then is not injected, or leaked where it was the undo.
    """

    name: str
    target: str
    arguments: Mapping[str, Any]

    @property
    def takes(self) -> type[Arguments]:
        """The model of the arguments."""

    def problems(self, catalogue: Catalogue) -> Sequence[Problem]:
        """What is wrong with target and arguments, before anything happens."""

    def obstacles(self, runtime: Runtime) -> Sequence[Problem]:
        """Why the running system cannot take this fault now, before anything happens."""

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None: ...

    async def in_force(self, runtime: Runtime) -> Evidence:
        """Read from the world (/proc, the port, the proxy), never from memory."""

    async def exercised(self, runtime: Runtime) -> Evidence:
        """Did at least one attempt meet the fault since it was injected?"""

    async def undo(self, runtime: Runtime) -> None:
        """Idempotent."""

    async def undone(self, runtime: Runtime) -> Evidence: ...

    def mend(self) -> str:
        """What a person does where the undo failed."""
