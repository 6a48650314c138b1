"""A request that gets no connection in time is counted; one whose statement fails is not."""

from __future__ import annotations

import asyncio
import socket

import pytest

from system.kit import database, signals


def counted() -> float:
    return signals.POOL_TIMEOUTS._value.get()


async def test_no_connection_in_time_is_counted_and_told_as_a_database_that_is_down() -> None:
    before = counted()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        async with database.pool(url) as pool:
            with pytest.raises(database.DatabaseDownError):
                async with database.transaction(pool, 0.2):
                    pytest.fail("nobody can have a connection")
    assert counted() - before == 1


class Given:
    """A pool that always has a connection."""

    def connection(self) -> Given:
        return self

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


async def test_a_statement_that_takes_too_long_had_its_connection() -> None:
    before = counted()
    with pytest.raises(database.DatabaseDownError):
        async with database.transaction(Given(), 0.01):  # type: ignore[arg-type]
            await asyncio.sleep(1)
    assert counted() == before
