"""What a rule is, what it is given, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gameday.catalogue import Catalogue
from gameday.catalogue.model import Location
from gameday.lint.requests import Request


@dataclass(frozen=True)
class Limits:
    """`calls` on an edge and `seconds` of waiting for one, both for one request; models that one service depends on."""

    calls: int = 5
    seconds: float = 2.0
    dependencies: int = 3


@dataclass(frozen=True)
class System:
    """`requests` are those of users, from traces; without any, `untraced` says why there are none."""

    catalogue: Catalogue
    requests: Sequence[Request] = ()
    untraced: str = "durations and counts need the traces of a running system"
    limits: Limits = Limits()

    def place(self, edge: str) -> Location | None:
        """Where the file declares `edge`, else where its consumer stands; None where that is not in the file."""
        consumer = self.catalogue.services.get(edge.partition("->")[0])
        if consumer is None:
            return None
        keys = (key for each in self.catalogue.find(edge) for key in each.env)
        return next((consumer.written[key] for key in keys if key in consumer.written), consumer.location)


@dataclass(frozen=True)
class Smell:
    """One place that shows an anti-pattern. `subject` stays the same from run to run: a waiver goes by it."""

    subject: str
    observed: str
    location: Location | None = None


@dataclass(frozen=True)
class Look:
    """`seen` says what was looked at, and is empty where that was nothing; `unseen` what could not be looked at."""

    smells: Sequence[Smell] = ()
    seen: str = ""
    unseen: Sequence[str] = ()


@dataclass(frozen=True)
class Rule:
    """`title` is what is demanded, `why` what it costs to break it, `mend` what to do then."""

    name: str
    title: str
    why: str
    mend: str
    look: Callable[[System], Look]
