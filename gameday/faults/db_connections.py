"""A PostgreSQL gives a consumer no more connections: gameday holds all that it may have. Undo: they are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gameday.catalogue import Catalogue
from gameday.errors import GamedayError, Problem
from gameday.faults import Evidence, arguments, store
from gameday.faults.edge import EdgeFault
from gameday.runtime import Runtime

try:
    import psycopg
    from psycopg import AsyncConnection, OperationalError
except ImportError:  # pragma: no cover - a machine without the extra
    psycopg = None  # type: ignore[assignment]

_SCHEMES = frozenset({"postgres", "postgresql", "pgsql", "postgis"})
# The server's words for SQLSTATE 53300, which libpq does not tell of a connection that was not made.
_FULL = ("too many", "connection slots are reserved")
_MOST = 2000
_LET_IN = """
    SELECT count(*) FROM pg_stat_activity
    WHERE usename = current_user AND backend_start > %s AND pid <> ALL(%s)
"""


class DbConnections(EdgeFault):
    """The target is an edge to a PostgreSQL; the connections are those of the consumer's user."""

    name = "db-connections"

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        super().__init__(target, given)
        self._held: list[AsyncConnection[Any]] = []
        self._refusal = ""
        self._since: datetime | None = None
        self._before = 0
        self._turn = asyncio.Lock()

    def obstacles(self, runtime: Runtime) -> Sequence[Problem]:
        if psycopg is None:
            return [Problem("psycopg is not installed: nobody could talk with the database", store.MISSING)]
        return super().obstacles(runtime)

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - the keeper's clock rules
        await self._take_all(runtime)
        if not self._held:
            raise GamedayError(f"{self.target} has no connection left already: {self._refusal}")
        self._since = await self._ask("SELECT clock_timestamp()")
        self._before = (await self._wire(runtime).counters()).connections

    async def in_force(self, runtime: Runtime) -> Evidence:
        """Takes what somebody gave back, until the server refuses the next."""
        await self._take_all(runtime)
        return Evidence(bool(self._held and self._refusal), {"held": len(self._held), "refused": self._refusal})

    async def exercised(self, runtime: Runtime) -> Evidence:
        """More connections came over the edge since than the server let in."""
        await self._take_all(runtime)
        came = (await self._wire(runtime).counters()).connections - self._before
        ours = [each.info.backend_pid for each in self._held]
        let_in = await self._ask(_LET_IN, self._since, ours)
        return Evidence(came > let_in, {"came": came, "let_in": let_in})

    async def undo(self, runtime: Runtime) -> None:  # noqa: ARG002 - they are ours
        async with self._turn:
            for connection in self._held:
                await connection.close()

    async def undone(self, runtime: Runtime) -> Evidence:
        if not self._held:
            return Evidence(True, {"reason": "no connection was taken"})
        open_ = [each.info.backend_pid for each in self._held if not each.closed]
        refusal = await self._connect(runtime, keep=False)
        return Evidence(not open_ and not refusal, {"held": len(open_), "refused": refusal})

    def mend(self) -> str:
        return "gameday down, which closes them"

    def _target_problems(self, catalogue: Catalogue) -> list[Problem]:
        if wrong := super()._target_problems(catalogue):
            return wrong
        (edge,) = catalogue.find(self.target)
        if store.told(catalogue, edge, _SCHEMES):
            return []
        able = (each.name for each in catalogue.edges if store.told(catalogue, each, _SCHEMES))
        message = f"{self.target} is no edge that a postgresql:// URL declares"
        return [Problem(message, arguments.nearest(self.target, able), key="target", value=self.target)]

    async def _take_all(self, runtime: Runtime) -> None:
        async with self._turn:
            self._refusal = ""
            while not self._refusal:
                if len(self._held) >= _MOST:
                    raise GamedayError(f"{self.target} has more than {_MOST} connections to take")
                self._refusal = await self._connect(runtime)

    async def _connect(self, runtime: Runtime, *, keep: bool = True) -> str:
        """Why the server has no connection to give; nothing where it gave one. Raises GamedayError."""
        edge = self._edge(runtime)
        url = store.told(runtime.catalogue, edge, _SCHEMES)
        assert url is not None  # noqa: S101 - the problems have looked
        try:
            connection = await AsyncConnection.connect(
                store.reached(runtime, edge, url, "postgresql"),
                autocommit=True, connect_timeout=int(store.PATIENCE), application_name="gameday",
            )  # fmt: skip
        except OperationalError as error:
            reason = str(error).strip()
            if any(words in reason for words in _FULL):
                return reason.rpartition("FATAL:")[2].strip()
            raise GamedayError(f"{edge.provider} refused {self.name}: {reason}") from error
        if keep:
            self._held.append(connection)
        else:
            await connection.close()
        return ""

    async def _ask(self, query: str, *values: Any) -> Any:
        """By a connection that is held: no other can be had."""
        try:
            row = await (await self._held[0].execute(query, values)).fetchone()
        except psycopg.Error as error:
            raise GamedayError(f"{self.target}: {error}") from error
        assert row is not None  # noqa: S101 - an aggregate has one row
        return row[0]
