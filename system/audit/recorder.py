"""Takes decisions from the bus into the trail: each once, those that come together in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from system.audit import trail
from system.audit.trail import Outcome
from system.kit import database, signals
from system.kit.bus import PoisonError, Received
from system.kit.consumer import Handled
from system.kit.database import Pool
from system.kit.decisions import Decision
from system.kit.together import Together

# In one transaction: some ten milliseconds, in which everybody else who adds waits.
AT_ONCE = 64


class Recorder:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._append: Together[Decision, Outcome | Exception] = Together(self._all, AT_ONCE)
        signals.announce_audit()

    async def handle(self, decision: Decision, received: Received) -> Handled:
        """Returns once it stands in the trail. Raises DatabaseDownError, and PoisonError for an id told twice."""
        del received
        outcome = await self._append(decision)
        if isinstance(outcome, Exception):
            raise outcome
        signals.AUDIT_ENTRIES.labels(outcome).inc()
        if outcome == "conflict":
            raise PoisonError(f"decision {decision.id} said something else before")
        return "done" if outcome == "appended" else "duplicate"

    async def _all(self, decisions: Sequence[Decision]) -> Sequence[Outcome | Exception]:
        try:
            return await self._together(decisions)
        except database.DatabaseDownError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it comes of one of them
            return [error] if len(decisions) == 1 else [await self._alone(each) for each in decisions]

    async def _alone(self, decision: Decision) -> Outcome | Exception:
        """One that cannot be written must not take those with it that only came at the same time."""
        try:
            return (await self._together([decision]))[0]
        except Exception as error:  # noqa: BLE001  its own consumer is told
            return error

    async def _together(self, decisions: Sequence[Decision]) -> Sequence[Outcome]:
        async with database.transaction(self._pool) as connection:
            return await trail.append(connection, decisions)
