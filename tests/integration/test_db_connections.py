"""The fault `db-connections` against a real PostgreSQL: it takes all, sees who was refused, and gives it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from servers import Postgres

from gameday.catalogue import Catalogue, Edge, EdgeKind, Service
from gameday.catalogue.model import Location
from gameday.errors import GamedayError
from gameday.faults import db_connections, registry
from gameday.faults.db_connections import DbConnections
from gameday.proxy import ProxyHost
from gameday.proxy.host import EdgeWire
from gameday.runtime import Endpoint

WHERE = Location(Path("compose.yml"), 1)
EDGE = "web->db"


def catalogue() -> Catalogue:
    environment = {
        "DATABASE_URL": "postgresql+psycopg://few:pass%25word@db:5432/postgres",
        "CACHE_URL": "redis://db:6379",
    }
    services = {
        "web": Service("web", WHERE, environment=environment),
        "db": Service("db", WHERE, expose=(5432, 6379)),
    }
    edges = (
        Edge("web", "db", 5432, EdgeKind.STORE, (), env=("DATABASE_URL",)),
        Edge("web", "db", 6379, EdgeKind.STORE, (), env=("CACHE_URL",)),
    )
    return Catalogue((WHERE.file,), Path(), "test", services, edges)


@dataclass
class Place:
    """As much of a runtime as the fault asks for."""

    catalogue: Catalogue
    at: Endpoint
    wired: EdgeWire | None

    def endpoint(self, _service: str, _port: int | None = None) -> Endpoint:
        return self.at

    def wire(self, _edge: Edge) -> EdgeWire | None:
        return self.wired

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """As the consumer does, over the edge."""
        assert self.wired
        return await psycopg.AsyncConnection.connect(f"postgresql://few@{self.wired.listen}/postgres", autocommit=True)


@pytest.fixture
async def place(postgres: Postgres) -> AsyncIterator[Any]:
    """The consumer's role may have four connections."""
    async with await psycopg.AsyncConnection.connect(postgres.url("postgres"), autocommit=True) as admin:
        await admin.execute("DROP ROLE IF EXISTS few")
        await admin.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 4")
    known, at = catalogue(), Endpoint("127.0.0.1", postgres.port)
    proxy = ProxyHost()
    await proxy.start()
    yield Place(known, at, await proxy.open(known.edges[0], at))
    await proxy.stop()


async def test_who_has_a_connection_keeps_it_and_who_needs_another_is_refused(place: Any) -> None:
    fault = DbConnections(f"{EDGE}:5432", {})
    async with await place.connect() as ours:
        await fault.inject(place, "a-lease", 30.0)
        seen = await fault.in_force(place)
        assert (seen.holds, seen.facts["held"]) == (True, 3), seen
        assert "too many connections for role" in seen.facts["refused"]
        await ours.execute("SELECT 1")
        assert not (await fault.exercised(place)).holds
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            await place.connect()
        met = await fault.exercised(place)
        assert (met.holds, met.facts) == (True, {"came": 1, "let_in": 0})
        for _ in range(2):
            await fault.undo(place)
        async with asyncio.timeout(5):
            while not (await fault.undone(place)).holds:
                await asyncio.sleep(0.02)
        async with await place.connect() as another:
            await another.execute("SELECT 1")


async def test_what_is_given_back_is_taken_and_who_was_faster_did_not_meet_it(place: Any) -> None:
    fault = DbConnections(f"{EDGE}:5432", {})
    first = await place.connect()
    await fault.inject(place, "a-lease", 30.0)
    await first.close()
    second = None
    async with asyncio.timeout(5):
        while second is None:
            try:
                second = await place.connect()
            except psycopg.OperationalError:
                await asyncio.sleep(0.02)
    came = (await fault.exercised(place)).facts
    assert came["let_in"] == 1
    await second.close()
    async with asyncio.timeout(5):
        while (await fault.in_force(place)).facts["held"] < 4:
            await asyncio.sleep(0.02)
    await fault.undo(place)


async def test_a_database_that_is_full_already_or_refuses_for_another_reason(place: Any) -> None:
    others = [await place.connect() for _ in range(4)]
    with pytest.raises(GamedayError, match="has no connection left already: too many connections"):
        await DbConnections(f"{EDGE}:5432", {}).inject(place, "a-lease", 30.0)
    for each in others:
        await each.close()
    place.catalogue.services["web"].environment["DATABASE_URL"] = "postgresql://nobody-knows@db:5432/postgres"
    fault = DbConnections(f"{EDGE}:5432", {})
    with pytest.raises(GamedayError, match=r"db refused db-connections: .*nobody-knows"):
        await fault.inject(place, "a-lease", 30.0)
    assert (await fault.undone(place)).holds


def test_what_keeps_it_from_being_injected_is_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(target: str) -> str:
        problems = registry.problems("db-connections", target, {}, catalogue())
        return "\n".join(f"{problem.message}. {problem.mend}" for problem in problems)

    assert wrong("web->db:5432") == ""
    assert "web->db:6379 is no edge that a postgresql:// URL declares" in wrong("web->db:6379")
    assert "there is no edge 'web->dbs'. did you mean 'web->db'?" in wrong("web->dbs")
    place: Any = Place(catalogue(), Endpoint("127.0.0.1", 1), None)
    fault = registry.FAULTS["db-connections"]("web->db:5432", {})
    assert "does not run through a proxy" in fault.obstacles(place)[0].message
    monkeypatch.setattr(db_connections, "psycopg", None)
    assert "gameday[stores]" in fault.obstacles(place)[0].mend
