"""The faults of a cache against a real Redis: what they count as in force, as met, and as undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from servers import Server

from gameday.catalogue import Catalogue, Edge, EdgeKind, Service
from gameday.catalogue.model import Location
from gameday.errors import GamedayError
from gameday.faults import cache, registry
from gameday.faults.cache_flush import CacheFlush
from gameday.faults.cache_full import CacheFull
from gameday.runtime import Endpoint

PASSWORD = "se%cret"
WHERE = Location(Path("compose.yml"), 1)


@dataclass
class Place:
    """As much of a runtime as the faults ask for."""

    catalogue: Catalogue
    at: Endpoint
    alive: bool = True

    def endpoint(self, _service: str, _port: int | None = None) -> Endpoint:
        return self.at

    def processes(self, _service: str) -> list[int]:
        return [1] if self.alive else []


def catalogue() -> Catalogue:
    environment = {"CACHE_URL": "redis://:se%25cret@cache:6379/3", "DATABASE_URL": "postgresql://db:5432/x"}
    services = {
        "web": Service("web", WHERE, environment=environment),
        "cache": Service("cache", WHERE, expose=(6379,)),
        "db": Service("db", WHERE, expose=(5432,)),
    }
    edges = (
        Edge("web", "cache", 6379, EdgeKind.STORE, (), env=("CACHE_URL",)),
        Edge("web", "db", 5432, EdgeKind.STORE, (), env=("DATABASE_URL",)),
    )
    return Catalogue((WHERE.file,), Path(), "test", services, edges)


@pytest.fixture(scope="module")
def guarded(redis_server: Server) -> Server:
    """It wants the password that the consumer's URL has."""
    with redis.Redis(port=redis_server.port) as client:
        client.config_set("requirepass", PASSWORD)
    return redis_server


@pytest.fixture
def client(guarded: Server) -> Iterator[redis.Redis]:
    """The consumer's, in a database of its own."""
    with redis.Redis(port=guarded.port, db=3, password=PASSWORD, decode_responses=True) as client:
        yield client
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "no")
        client.flushall()


@pytest.fixture
def place(guarded: Server) -> Any:
    return Place(catalogue(), Endpoint("127.0.0.1", guarded.port))


async def test_what_the_cache_held_is_gone_and_somebody_looked_for_it(place: Any, client: redis.Redis) -> None:
    client.mset({"a": 1, "b": 2})
    client.get("never there")
    fault = CacheFlush("cache", {})
    await fault.inject(place, "a-lease", 30.0)
    assert (await fault.in_force(place)).facts == {"keys": 2, "left": 0}
    assert (await fault.in_force(place)).holds
    assert client.dbsize() == 0
    assert not (await fault.exercised(place)).holds
    client.set("a", 1)
    client.get("a")
    assert not (await fault.exercised(place)).holds
    client.get("b")
    met = await fault.exercised(place)
    assert (met.holds, met.facts) == (True, {"keys": 2, "misses": 1})
    await fault.undo(place)
    assert (await fault.undone(place)).holds
    assert client.get("a") == "1"


async def test_an_empty_cache_cannot_be_flushed(place: Any, client: redis.Redis) -> None:
    fault = CacheFlush("cache", {})
    await fault.inject(place, "a-lease", 30.0)
    client.get("b")
    assert not (await fault.in_force(place)).holds
    assert not (await fault.exercised(place)).holds


async def test_what_is_kept_on_disk_is_not_flushed(place: Any, client: redis.Redis) -> None:
    client.set("session", "precious")
    client.config_set("appendonly", "yes")
    with pytest.raises(GamedayError, match="would be lost for good"):
        await CacheFlush("cache", {}).inject(place, "a-lease", 30.0)
    assert client.get("session") == "precious"


@pytest.mark.parametrize("policy", ["allkeys-lru", "noeviction"])
async def test_a_full_cache_evicts_or_refuses_until_it_has_its_room_again(
    place: Any, client: redis.Redis, policy: str
) -> None:
    client.config_set("maxmemory-policy", policy)
    client.config_set("maxmemory", 10**9)
    fault = CacheFull("cache", {"headroom": 1})
    await fault.inject(place, "a-lease", 30.0)
    assert (await fault.in_force(place)).holds
    client.set("small", "x")
    assert not (await fault.exercised(place)).holds
    for number in range(3):
        with suppress(redis.OutOfMemoryError):
            client.set(f"key-{number}", "x" * 400_000)
    with suppress(redis.OutOfMemoryError):
        client.set("one more", "x")
    met = await fault.exercised(place)
    assert met.holds, met
    assert (met.facts["evicted"] > 0) == (policy == "allkeys-lru")
    assert not (await fault.undone(place)).holds
    for _ in range(2):
        await fault.undo(place)
    assert (await fault.undone(place)).holds
    assert client.config_get("maxmemory") == {"maxmemory": str(10**9)}


async def test_a_limit_that_is_lower_already_stays(place: Any, client: redis.Redis) -> None:
    client.config_set("maxmemory", 2 * 1024 * 1024)
    fault = CacheFull("cache", {"headroom": 100})
    await fault.inject(place, "a-lease", 30.0)
    facts = (await fault.in_force(place)).facts
    assert facts["limit"] == facts["before"] == 2 * 1024 * 1024


async def test_a_limit_that_somebody_else_sets_is_not_ours(place: Any, client: redis.Redis) -> None:
    fault = CacheFull("cache", {})
    await fault.inject(place, "a-lease", 30.0)
    client.config_set("maxmemory", 0)
    assert not (await fault.in_force(place)).holds


async def test_a_server_that_refuses_is_said_and_nothing_needs_an_undo(place: Any, client: redis.Redis) -> None:
    place.catalogue.services["web"].environment["CACHE_URL"] = "redis://:wrong@cache:6379"
    for fault in (CacheFlush("cache", {}), CacheFull("cache", {})):
        with pytest.raises(GamedayError, match=f"cache refused {fault.name}: AuthenticationError"):
            await fault.inject(place, "a-lease", 30.0)
        await fault.undo(place)
        assert (await fault.undone(place)).holds


@pytest.mark.parametrize("name", ["cache-flush", "cache-full"])
def test_a_target_that_is_no_redis_names_those_that_are(place: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def wrong(target: str, **arguments: object) -> str:
        problems = registry.problems(name, target, arguments, place.catalogue)
        return "\n".join(f"{problem.message}. {problem.mend}" for problem in problems)

    assert wrong("cache") == ""
    assert "did you mean 'cache'? known: cache" in wrong("cach")
    assert "is no service that a consumer reaches by a redis:// URL" in wrong("db")
    assert wrong("cache", headroom=-1)
    fault = registry.FAULTS[name]("cache", {})
    assert fault.obstacles(place) == []
    place.alive = False
    assert "cache has no process" in fault.obstacles(place)[0].message
    monkeypatch.setattr(cache, "find_spec", lambda _: None)
    assert "gameday[stores]" in fault.obstacles(place)[0].mend
