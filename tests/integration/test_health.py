"""Health checks asked natively, with the meaning of the tools that they name, against servers of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from gameday.runtime import Endpoint, health

STARTING_UP = b"E\0\0\0\x5fSFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
AMQP_START = b"\x01\x00\x00\x00\x00\x01\xf2\x00\x0a\x00\x0a\x00\x09"


@asynccontextmanager
async def server(answer: bytes | Callable[[bytes], bytes]) -> AsyncIterator[Endpoint]:
    """Reads once, answers, hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(1000)
        writer.write(answer(asked) if callable(answer) else answer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield Endpoint("127.0.0.1", listening.sockets[0].getsockname()[1])
    listening.close()


async def never(argv: Sequence[str]) -> health.Answer:
    raise AssertionError(f"{argv} was run as a program")


async def ask(test: Sequence[str], endpoint: Endpoint, port: int, **environment: str) -> health.Answer:
    return await health.probe(test, {port: endpoint}, environment, never)()


@pytest.mark.parametrize(
    ("test", "port", "answer", "healthy"),
    [
        (["CMD", "pg_isready"], 5432, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", True),
        (["CMD", "pg_isready", "-p", "5433"], 5433, b"R\0\0\0\x08\0\0\0\0", True),
        (["CMD-SHELL", "pg_isready -U $POSTGRES_USER -d shop || exit 1"], 5432, STARTING_UP, False),
        (["CMD", "pg_isready"], 5432, b"", False),
        (["CMD", "redis-cli", "ping"], 6379, b"+PONG\r\n", True),
        (["CMD", "redis-cli", "-p", "6380", "ping"], 6380, b"+PONG\r\n", True),
        (["CMD", "redis-cli", "ping"], 6379, b"-LOADING Redis is loading the dataset in memory\r\n", False),
        (["CMD", "rabbitmq-diagnostics", "-q", "ping"], 5672, AMQP_START, True),
        (["CMD", "rabbitmq-diagnostics", "-q", "ping"], 5672, b"AMQP\0\0\x09\x01", False),
        (["CMD", "wget", "-qO-", "http://{}/live?deep=1"], 80, b"HTTP/1.1 200 OK\r\n\r\n", True),
        (["CMD", "wget", "-qO-", "http://{}/"], 80, b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (["CMD-SHELL", "curl -fsS http://{}/ || exit 1"], 80, b"HTTP/1.0 404 Not Found\r\n\r\n", False),
        (["CMD", "curl", "http://{}/"], 80, b"HTTP/1.0 404 Not Found\r\n\r\n", True),
        (["CMD", "curl", "-f", "http://localhost/"], 80, b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (["CMD-SHELL", "nc -z localhost 9000"], 9000, b"", True),
    ],
)
async def test_a_usual_check(test: list[str], port: int, answer: bytes, healthy: bool) -> None:
    async with server(answer) as endpoint:
        said = await ask([word.replace("{}", str(endpoint)) for word in test], endpoint, port, POSTGRES_USER="owner")
        assert (said is None) == healthy, said


async def test_what_is_asked() -> None:
    asked: list[bytes] = []

    def keep(question: bytes) -> bytes:
        asked.append(question)
        return b""

    async with server(keep) as endpoint:
        await ask(["CMD-SHELL", "pg_isready -U $POSTGRES_USER"], endpoint, 5432, POSTGRES_USER="owner")
        await ask(["CMD", "curl", "-f", f"http://{endpoint}/live?deep=1"], endpoint, 80)
    assert b"user\0owner\0" in asked[0]
    assert asked[1].startswith(b"GET /live?deep=1 HTTP/1.1\r\nHost: " + str(endpoint).encode())


@pytest.mark.parametrize(
    "test",
    [
        ["CMD", "pg_isready"],
        ["CMD", "redis-cli", "ping"],
        ["CMD", "rabbitmq-diagnostics", "ping"],
        ["CMD", "curl", "-f", "http://127.0.0.1:1/"],
    ],
)
async def test_nobody_listens(test: list[str]) -> None:
    closed = Endpoint("127.0.0.1", 1)
    said = await health.probe(test, dict.fromkeys((5432, 6379, 5672, 80), closed), {}, never)()
    assert said
    assert "127.0.0.1:1" in said


@pytest.mark.parametrize(
    ("test", "ran"),
    [
        (["CMD", "./check", "--fast"], ["./check", "--fast"]),
        (["CMD", "curl", "-X", "POST", "http://localhost/"], ["curl", "-X", "POST", "http://localhost/"]),
        (["CMD", "redis-cli", "-a", "secret", "ping"], ["redis-cli", "-a", "secret", "ping"]),
        (["CMD", "redis-cli", "get", "x"], ["redis-cli", "get", "x"]),
        (["CMD", "pg_isready", "-p", "9999"], ["pg_isready", "-p", "9999"]),
        (["CMD-SHELL", "test -f /tmp/ok && exit 0"], ["/bin/sh", "-c", "test -f /tmp/ok && exit 0"]),
        (["CMD-SHELL", "./check $LEVEL"], ["./check", "deep"]),
    ],
)
async def test_anything_else_runs_as_the_command_that_it_is(test: list[str], ran: list[str]) -> None:
    given: list[Sequence[str]] = []

    async def run(argv: Sequence[str]) -> health.Answer:
        given.append(argv)
        return "ran"

    endpoints = {80: Endpoint("127.0.0.1", 1), 6379: Endpoint("127.0.0.1", 1), 5432: Endpoint("127.0.0.1", 1)}
    assert await health.probe(test, endpoints, {"LEVEL": "deep"}, run)() == "ran"
    assert list(given[0]) == ran


async def test_without_a_check_an_open_port_is_enough() -> None:
    async with server(b"") as endpoint:
        assert await health.listens({1: Endpoint("127.0.0.1", 1), 2: endpoint})() is None
    assert await health.listens({1: Endpoint("127.0.0.1", 1)})() == "listens on none of its ports"
    assert await health.listens({})() is None
