"""What the faults of a Redis have in common: the target, and how gameday speaks with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from gameday.catalogue import Catalogue, Edge
from gameday.errors import GamedayError, Problem
from gameday.faults import arguments, store
from gameday.runtime import Runtime

if TYPE_CHECKING:
    from redis.asyncio import Redis

_MISSING = "redis is not installed: nobody could talk with the cache"
_SCHEMES = frozenset({"redis", "valkey"})


class CacheFault:
    """`name` and `takes` as of any fault. The target is a service that a consumer reaches by a `redis://` URL."""

    name = ""
    takes: type[arguments.Arguments] = arguments.Arguments

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        self.target = target
        self.arguments = given

    def problems(self, catalogue: Catalogue) -> Sequence[Problem]:
        wrong = list(arguments.problems(self.name, self.takes, self.arguments))
        able = sorted({edge.provider for edge in catalogue.edges if store.told(catalogue, edge, _SCHEMES)})
        if self.target not in able:
            message = f"{self.target!r} is no service that a consumer reaches by a redis:// URL"
            wrong.insert(0, Problem(message, arguments.nearest(self.target, able), key="target", value=self.target))
        return wrong

    def obstacles(self, runtime: Runtime) -> Sequence[Problem]:
        if find_spec("redis") is None:
            return [Problem(_MISSING, store.MISSING)]
        if runtime.processes(self.target):
            return []
        message = f"{self.target} has no process: there is nothing to {self.name}"
        return [Problem(message, f"gameday restart {self.target}", key="target", value=self.target)]

    def mend(self) -> str:
        return f"gameday restart {self.target}"

    @asynccontextmanager
    async def client(self, runtime: Runtime) -> AsyncIterator[Redis]:
        """Raises GamedayError where the server refuses or does not answer."""
        try:
            # Only by who injects it: every command reads the list of faults, and this is a third of a second.
            from redis import asyncio as redis
        except ImportError as error:  # pragma: no cover - the obstacles have looked
            raise GamedayError(f"{_MISSING}: {store.MISSING}") from error
        edge, url = self._edge(runtime.catalogue)
        try:
            async with redis.from_url(
                store.reached(runtime, edge, url._replace(path=""), "redis"),
                socket_timeout=store.PATIENCE, socket_connect_timeout=store.PATIENCE, decode_responses=True,
            ) as client:  # fmt: skip
                yield client
        except (redis.RedisError, OSError) as error:
            raise GamedayError(f"{self.target} refused {self.name}: {type(error).__name__}: {error}") from error

    def _edge(self, catalogue: Catalogue) -> tuple[Edge, Any]:
        edges = ((edge, store.told(catalogue, edge, _SCHEMES)) for edge in catalogue.consumers(self.target))
        return next((edge, url) for edge, url in edges if url is not None)
