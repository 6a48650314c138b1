"""The guarded client against servers that die, hang and refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pydantic import BaseModel

from system.kit import deadline
from system.kit.breaker import Breaker, CircuitBreaker, Consecutive, State, Unguarded
from system.kit.client import Edge, RefusedError, RetryBudget, Targets, UnavailableError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Greeting(BaseModel):
    hello: str


def reply(status: int, body: str = '{"hello": "world"}') -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


class Provider:
    """Gives its `replies` in turn, the last one for good. None: hangs up. `...`: never answers."""

    def __init__(self) -> None:
        self.replies: list[bytes | None] = [reply(200)]
        self.asked = 0
        self.hangs = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                answer = self.replies[0] if len(self.replies) == 1 else self.replies.pop(0)
                if answer is None:
                    break
                if answer == b"":
                    await self.hangs.wait()
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@pytest.fixture(autouse=True)
def no_deadline() -> None:
    deadline.clear()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    started = Provider()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def other() -> AsyncIterator[Provider]:
    started = Provider()
    await started.start()
    yield started
    await started.stop()


Connect = Callable[..., Edge]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    edges: list[Edge] = []

    def make(*providers: Provider, breaker: Breaker | None = None, **options: object) -> Edge:
        url = ",".join(f"http://127.0.0.1:{provider.port}/" for provider in providers)
        edges.append(Edge("a->b", url, breaker or Unguarded("a->b"), **options))  # type: ignore[arg-type]
        return edges[-1]

    yield make
    for edge in edges:
        await edge.__aexit__()


def guarded(failures: int = 1) -> CircuitBreaker:
    return CircuitBreaker("a->b", Consecutive(failures), 30)


async def reason(call: Awaitable[object]) -> str:
    with pytest.raises(UnavailableError) as error:
        await call
    return str(error.value.reason)


async def test_reads_an_answer_into_a_model(provider: Provider, connect: Connect) -> None:
    assert (await connect(provider).read(Greeting, "GET", "/", timeout=1)).hello == "world"


@pytest.mark.parametrize(
    ("answer", "ai", "expected", "state"),
    [
        (reply(502), False, "status", State.OPEN),
        (reply(503), False, "status", State.OPEN),
        (reply(504), False, "status", State.OPEN),
        (reply(500), True, "status", State.OPEN),
        (reply(500), False, "status", State.CLOSED),
        (reply(404), True, "status", State.CLOSED),
        (reply(200, "{}"), True, "schema", State.OPEN),
        (reply(200, "{}"), False, "schema", State.CLOSED),
        (reply(200, "<html>"), True, "schema", State.OPEN),
        (None, False, "connection", State.OPEN),
        (b"HTTP/9 nonsense\r\n\r\n", False, "connection", State.OPEN),
        (b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nshort", False, "timeout", State.OPEN),
        (b"", False, "timeout", State.OPEN),
    ],
)
async def test_what_counts_as_unavailable(
    provider: Provider, connect: Connect, *, answer: bytes | None, ai: bool, expected: str, state: State
) -> None:
    provider.replies = [answer]
    breaker = guarded()
    edge = connect(provider, breaker=breaker, ai=ai)
    assert await reason(edge.read(Greeting, "GET", "/", timeout=0.2)) == expected
    assert breaker.state is state


async def test_a_4xx_is_an_answer(provider: Provider, connect: Connect) -> None:
    provider.replies = [reply(404, "no")]
    answer = await connect(provider).call("GET", "/", timeout=1)
    assert (answer.status, answer.body) == (404, b"no")


async def test_an_open_breaker_asks_nobody(provider: Provider, connect: Connect) -> None:
    provider.replies = [reply(503)]
    edge = connect(provider, breaker=guarded())
    await reason(edge.call("GET", "/", timeout=1))
    assert await reason(edge.call("GET", "/", timeout=1)) == "open"
    assert provider.asked == 1


async def test_a_caller_that_gives_up_blames_nobody(provider: Provider, connect: Connect) -> None:
    provider.replies = [b""]
    breaker = guarded()
    edge = connect(provider, breaker=breaker)
    call = asyncio.create_task(edge.call("GET", "/", timeout=10))
    async with asyncio.timeout(5):
        while not provider.asked:
            await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (breaker.state, edge.in_flight) == (State.CLOSED, 0)


async def test_only_the_idempotent_is_tried_again(provider: Provider, connect: Connect) -> None:
    edge = connect(provider)
    provider.replies = [reply(503), reply(200)]
    assert await reason(edge.call("POST", "/", timeout=1)) == "status"
    provider.replies = [reply(503), reply(200)]
    assert (await edge.call("GET", "/", timeout=1, idempotent=True)).status == 200


@pytest.mark.parametrize("answer", [reply(404), reply(200, "{}"), b""])
async def test_what_another_try_cannot_mend_is_not_tried_again(
    provider: Provider, connect: Connect, answer: bytes
) -> None:
    provider.replies = [answer]
    await reason(connect(provider).read(Greeting, "GET", "/", timeout=0.2, idempotent=True))
    assert provider.asked == 1


async def test_a_refusal_is_told_apart(provider: Provider, connect: Connect) -> None:
    provider.replies = [reply(422)]
    with pytest.raises(RefusedError):
        await connect(provider).read(Greeting, "GET", "/", timeout=1)


async def test_retries_end_when_much_fails(provider: Provider, connect: Connect) -> None:
    provider.replies = [reply(503)]
    edge = connect(provider)
    for _ in range(100):
        await reason(edge.call("GET", "/", timeout=1, idempotent=True))
    assert 100 + 50 <= provider.asked <= 100 + 60


async def test_no_more_than_so_many_at_once(provider: Provider, connect: Connect) -> None:
    provider.replies = [b""]
    edge = connect(provider, concurrency=2)
    calls = [asyncio.create_task(edge.call("GET", "/", timeout=5)) for _ in range(2)]
    async with asyncio.timeout(5):
        while edge.in_flight < 2:
            await asyncio.sleep(0)
    assert await reason(edge.call("GET", "/", timeout=5)) == "full"
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert edge.in_flight == 0


async def test_replicas_share_the_calls(provider: Provider, other: Provider, connect: Connect) -> None:
    edge = connect(provider, other)
    for _ in range(10):
        await edge.call("GET", "/", timeout=1)
    assert (provider.asked, other.asked) == (5, 5)


async def test_a_dead_replica_costs_no_idempotent_call(provider: Provider, other: Provider, connect: Connect) -> None:
    breaker = guarded(failures=2)
    edge = connect(provider, other, breaker=breaker)
    await provider.stop()
    for _ in range(50):
        assert (await edge.call("GET", "/", timeout=1, idempotent=True)).status == 200
    assert other.asked == 50
    assert breaker.state is State.CLOSED
    await provider.start(provider.port)


async def test_a_replica_that_dies_with_calls_under_way_opens_no_breaker(
    provider: Provider, other: Provider, connect: Connect
) -> None:
    """They fail all at once, and each of them is answered by the other replica."""
    breaker = guarded(failures=2)
    edge = connect(provider, other, breaker=breaker)
    provider.replies = [b""]
    calls = [asyncio.create_task(edge.call("GET", "/", timeout=5, idempotent=True)) for _ in range(12)]
    async with asyncio.timeout(5):
        while provider.asked < 6:
            await asyncio.sleep(0)
    await provider.stop()
    assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
    assert breaker.state is State.CLOSED
    await provider.start(provider.port)


async def test_a_call_that_fails_twice_counts_once(provider: Provider, connect: Connect) -> None:
    provider.replies = [reply(503)]
    breaker = guarded(failures=2)
    edge = connect(provider, breaker=breaker)
    await reason(edge.call("GET", "/", timeout=1, idempotent=True))
    assert (provider.asked, breaker.state) == (2, State.CLOSED)
    await reason(edge.call("GET", "/", timeout=1, idempotent=True))
    assert breaker.state is State.OPEN


async def test_a_probe_that_fails_is_not_forgiven(provider: Provider, connect: Connect) -> None:
    provider.replies = [reply(503)]
    breaker = CircuitBreaker("a->b", Consecutive(1), 0)
    edge = connect(provider, breaker=breaker)
    await reason(edge.call("GET", "/", timeout=1))
    breaker.reset_seconds = 30
    breaker._last_failure -= 30
    assert await reason(edge.call("GET", "/", timeout=1, idempotent=True)) == "open"
    assert (provider.asked, breaker.state) == (2, State.OPEN)


async def test_the_callers_deadline_is_kept_and_its_end_blames_nobody(provider: Provider, connect: Connect) -> None:
    breaker = guarded()
    edge = connect(provider, breaker=breaker)
    deadline.within(0)
    assert await reason(edge.call("GET", "/", timeout=5)) == "timeout"
    assert (provider.asked, breaker.state) == (0, State.CLOSED)


async def test_a_stream_that_is_cut_counts(provider: Provider, connect: Connect) -> None:
    provider.replies = [b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", None]
    breaker = guarded()
    edge = connect(provider, breaker=breaker)

    async def listen() -> None:
        async with edge.stream("GET", "/", timeout=5) as answer:
            async for chunk in answer.chunks():
                assert chunk == b"hello"
                await provider.stop()

    assert await reason(listen()) == "connection"
    assert breaker.state is State.OPEN
    await provider.start(provider.port)


async def test_a_stream_that_stalls_ends_in_time(provider: Provider, connect: Connect) -> None:
    provider.replies = [b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    edge = connect(provider)

    async def listen() -> None:
        async with edge.stream("GET", "/", timeout=0.3) as answer:
            async for _ in answer.chunks():
                pass

    assert await reason(listen()) == "timeout"


def test_targets_that_all_failed_are_tried_all_the_same() -> None:
    targets = Targets(["http://a/", "http://b"])
    targets.failed("http://a")
    assert {targets.next() for _ in range(4)} == {"http://b"}
    targets.failed("http://b")
    assert targets.next() in {"http://a", "http://b"}


def test_a_retry_budget_is_earned_by_calls() -> None:
    budget = RetryBudget(share=0.5, most=1)
    assert [budget.take(), budget.take()] == [True, False]
    budget.earn()
    assert not budget.take()
    budget.earn()
    assert budget.take()
