"""What is done with the trail as a whole: verified, replayed, and rid of what is too old."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from system.audit import chain, trail
from system.audit.chain import Entry, Finding
from system.audit.state import State, replay
from system.kit import database
from system.kit.database import Connection

# Entries worked on at a time: a few milliseconds, in which nothing else is done.
BATCH = 500
SNAPSHOT_SECONDS = 60.0


@dataclass(frozen=True)
class Verification:
    """`last` is the last entry that was checked, None where there is none. `head` is the trail's last."""

    checked: int
    last: Entry | None
    head: Entry | None
    findings: list[Finding]


@dataclass(frozen=True)
class Replay:
    """The state as made anew from the entries, and as it was counted while they came."""

    through: int
    state: State
    counted: State


class Auditor:
    """Each method reads one snapshot, so that what is added meanwhile makes no difference. Raises DatabaseDownError."""

    def __init__(self, pool: database.Pool) -> None:
        self._pool = pool

    async def verify(self, after: int = 0, limit: int | None = None) -> Verification:
        """Checks the entries behind the number `after`, at most `limit`."""
        findings: list[Finding] = []
        checked = 0
        async with database.transaction(self._pool, SNAPSHOT_SECONDS) as connection:
            await _freeze(connection)
            head = await trail.head(connection)
            last = await trail.at(connection, after) if after else None
            erased = await trail.erasures(connection)
            async for entries in _batches(connection, after, limit):
                findings += chain.check(entries, erased, last)
                checked += len(entries)
                last = entries[-1]
        return Verification(checked, last, head, findings)

    async def replay(self, through: int | None = None) -> Replay:
        """The state after the entry `through`; None: after all."""
        state: State = {}
        last = 0
        async with database.transaction(self._pool, SNAPSHOT_SECONDS) as connection:
            await _freeze(connection)
            counted = await trail.totals(connection)
            async for entries in _batches(connection, 0, through):
                replay(entries, state)
                last = entries[-1].number
        return Replay(last, state, counted)

    async def retire(self, days: float) -> int:
        """Forgets what is older than `days`; how many decisions that were."""
        before = datetime.now(UTC) - timedelta(days=days)
        forgotten = 0
        while True:
            async with database.transaction(self._pool) as connection:
                some = await trail.retire(connection, before, BATCH)
            forgotten += some
            if some < BATCH:
                return forgotten


async def _freeze(connection: Connection) -> None:
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


async def _batches(connection: Connection, after: int, limit: int | None) -> AsyncIterator[list[Entry]]:
    """Entries behind the number `after`, at most `limit`, in the order of the trail."""
    left = BATCH if limit is None else limit
    while left > 0:
        entries = await trail.entries(connection, after, min(left, BATCH))
        if not entries:
            return
        yield entries
        after = entries[-1].number
        left -= 0 if limit is None else len(entries)
