"""A Redis behind a timeout and a breaker, without a Redis."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop
from redis.asyncio import Redis

from system.kit.client import UnavailableError
from system.kit.store import Store


async def write_to_what_is_closed(_: Redis) -> None:
    """As redis-py does where the server dies between the connection and its first command."""
    ours, theirs = socket.socketpair()
    with theirs:
        _reader, writer = await asyncio.open_connection(sock=ours)
        writer.transport.abort()
        await asyncio.sleep(0)
        writer.writelines([b"HELLO"])


def test_a_connection_that_is_lost_before_it_is_written_to_is_a_store_that_is_gone() -> None:
    async def ask() -> None:
        store = Store("test->store", "redis://127.0.0.1:1/0")
        try:
            await store.ask(write_to_what_is_closed)
        finally:
            await store.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(UnavailableError) as told:
        runner.run(ask())
    assert told.value.reason == "connection"
