"""The edge proxy as a real child process, on uvloop and on asyncio's own loop."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gameday.catalogue import Edge, EdgeKind
from gameday.errors import GamedayError
from gameday.proxy import ProxyHost
from gameday.runtime import Endpoint, Toxic, procfs

EDGE = Edge("web", "api", 80, EdgeKind.HTTP, ())
MIB = 1024 * 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=["uvloop", "asyncio"])
async def proxy(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ProxyHost]:
    if request.param == "asyncio":
        (tmp_path / "uvloop.py").write_text("raise ImportError('not for this test')\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    host = ProxyHost()
    await host.start()
    yield host
    await host.stop()


@asynccontextmanager
async def provider(handler: Handler) -> AsyncIterator[Endpoint]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0, backlog=4096)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        await reader.read()
    writer.close()


async def dial(endpoint: Endpoint) -> Streams:
    return await asyncio.open_connection(endpoint.host, endpoint.port)


async def ask(streams: Streams, question: bytes = b"ping") -> float:
    """The seconds until the echo of `question` was back."""
    reader, writer = streams
    started = time.monotonic()
    writer.write(question)
    async with asyncio.timeout(10):
        assert await reader.readexactly(len(question)) == question
    return time.monotonic() - started


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


def toxic(kind: str, **given: object) -> Toxic:
    own = {key: given.pop(key) for key in ("stream", "toxicity", "ttl") if key in given}
    return Toxic(f"{kind}-1", kind, given, **own)  # type: ignore[arg-type]


def allow_many_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def test_64_mib_pass_unharmed_in_both_directions(proxy: ProxyHost) -> None:
    block = os.urandom(MIB)
    sent, returned = hashlib.sha256(block * 64).hexdigest(), hashlib.sha256()
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        reader, writer = await dial(wire.listen)

        async def send() -> None:
            for _ in range(64):
                writer.write(block)
                await writer.drain()
            writer.write_eof()

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(send())
            while data := await reader.read(MIB):
                returned.update(data)
        writer.close()
    assert returned.hexdigest() == sent
    counters = await wire.counters()
    assert counters.bytes_up == counters.bytes_down == 64 * MIB


async def test_a_provider_that_does_not_read_makes_the_consumer_wait(proxy: ProxyHost) -> None:
    may_read = asyncio.Event()
    received = 0

    async def lazy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await may_read.wait()
        while data := await reader.read(MIB):
            received += len(data)
        writer.close()

    async with provider(lazy) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("latency", latency=50, stream="upstream"))
        reader, writer = await dial(wire.listen)
        before = _resident(proxy)

        async def send() -> None:
            for _ in range(64):
                writer.write(bytes(MIB))
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        taken = -1
        while taken != (taken := (await wire.counters()).bytes_up):
            await asyncio.sleep(0.3)
        assert not sending.done()
        assert 0 < taken < 32 * MIB
        assert _resident(proxy) - before < 24 * MIB
        may_read.set()
        async with asyncio.timeout(30):
            await sending
            assert await reader.read() == b""
        writer.close()
    assert received == 64 * MIB


def _resident(proxy: ProxyHost) -> int:
    pages = int(Path(f"/proc/{proxy.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def test_a_consumer_that_is_done_sending_still_gets_its_answer(proxy: ProxyHost) -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()
        writer.write(b"you said " + question)
        writer.close()

    async with provider(answer_at_the_end) as upstream:
        wire = await proxy.open(EDGE, upstream)
        reader, writer = await dial(wire.listen)
        writer.write(b"hello")
        writer.write_eof()
        async with asyncio.timeout(5):
            assert await reader.read() == b"you said hello"
        writer.close()


async def test_a_provider_that_is_done_sending_still_hears_the_consumer(proxy: ProxyHost) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"that is all")
        writer.write_eof()
        heard.set_result(await reader.read())
        writer.close()

    async with provider(speak_first) as upstream:
        wire = await proxy.open(EDGE, upstream)
        reader, writer = await dial(wire.listen)
        async with asyncio.timeout(5):
            assert await reader.read() == b"that is all"
            writer.write(b"thank you")
            writer.write_eof()
            assert await heard == b"thank you"
        writer.close()


async def test_two_thousand_connections_at_once(proxy: ProxyHost) -> None:
    allow_many_descriptors()
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        connections: list[Streams] = []
        for _ in range(20):
            connections += await asyncio.gather(*(dial(wire.listen) for _ in range(100)))
        await asyncio.gather(*(ask(streams, f"{n}".encode()) for n, streams in enumerate(connections)))
        assert (await wire.counters()).connections == 2000
        for _, writer in connections:
            writer.close()
        await until(lambda: _holds_few_descriptors(proxy))


async def _holds_few_descriptors(proxy: ProxyHost) -> bool:
    return len(list(Path(f"/proc/{proxy.pid}/fd").iterdir())) < 50


def telling(name: bytes, heard: list[bytes]) -> Handler:
    """A replica that answers each question with its name, and notes it in `heard`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while await reader.read(65536):
                heard.append(name)
                writer.write(name)
                await writer.drain()
        writer.close()

    return handle


async def who(endpoint: Endpoint) -> bytes:
    """The name of the replica that took one connection."""
    reader, writer = await dial(endpoint)
    try:
        writer.write(b"who?")
        async with asyncio.timeout(5):
            return await reader.read(10)
    finally:
        writer.close()


async def test_connections_go_to_the_replicas_in_turn(proxy: ProxyHost) -> None:
    heard: list[bytes] = []
    async with provider(telling(b"a", heard)) as a, provider(telling(b"b", heard)) as b, silent_port() as free:
        wire = await proxy.open(EDGE, a, b)
        assert [await who(wire.listen) for _ in range(6)] == [b"a", b"b"] * 3
        listen = Endpoint("127.0.0.1", free)
        await proxy.balance(listen, b, a)
        assert [await who(listen) for _ in range(4)] == [b"b", b"a"] * 2


async def test_a_replica_that_refuses_is_passed_over(proxy: ProxyHost) -> None:
    heard: list[bytes] = []
    async with provider(telling(b"a", heard)) as a, provider(telling(b"b", heard)) as b, silent_port() as free:
        gone = Endpoint("127.0.0.1", free)
        wire = await proxy.open(EDGE, a, gone, b)
        assert sorted([await who(wire.listen) for _ in range(6)]) == [b"a"] * 2 + [b"b"] * 4
        counters = await wire.counters()
        assert (counters.connections, counters.refused, counters.unanswered) == (6, 0, 0)
        shares = [await wire.counters(each) for each in (a, gone, b)]
        assert [share.refused > 0 for share in shares] == [False, True, False]
        assert {share.unanswered for share in shares} == {0}


async def test_where_every_replica_refuses_the_consumer_is_refused(proxy: ProxyHost) -> None:
    async with silent_port() as one, silent_port() as other:
        upstreams = [Endpoint("127.0.0.1", port) for port in (one, other)]
        wire = await proxy.open(EDGE, *upstreams)
        assert not await _survives(wire.listen)
        await until(lambda: _has(wire, "unanswered", 0))
        assert (await wire.counters()).refused
        for each in upstreams:
            share = await wire.counters(each)
            assert share.refused
            assert share.unanswered == 0


async def test_what_a_silent_replica_owes_is_counted_as_its_own(proxy: ProxyHost) -> None:
    async with provider(silence) as a, provider(echo) as b:
        wire = await proxy.open(EDGE, a, b)
        unheard, heard = await dial(wire.listen), await dial(wire.listen)
        unheard[1].write(b"anybody?")
        await ask(heard)
        await until(lambda: _has(wire, "unanswered", 1))
        assert (await wire.counters(a)).unanswered == 1
        assert (await wire.counters(b)).unanswered == 0
        for _, writer in (unheard, heard):
            writer.close()


@asynccontextmanager
async def silent_port() -> AsyncIterator[int]:
    """A port on which nobody listens, and which nobody else is given meanwhile."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


async def test_toxicity_is_the_share_of_connections_that_are_hit(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("reset_peer", toxicity=0.5))
        outcomes = []
        for _ in range(8):
            outcomes += await asyncio.gather(*(_survives(wire.listen) for _ in range(50)))
    # 400 draws at one half: six standard deviations are 60.
    assert 140 < sum(outcomes) < 260
    assert (await wire.counters()).met == 400 - sum(outcomes)


async def _survives(endpoint: Endpoint) -> bool:
    """A reset may be as fast as the connection."""
    try:
        reader, writer = await dial(endpoint)
    except ConnectionResetError:
        return False
    try:
        writer.write(b"x")
        async with asyncio.timeout(10):
            return await reader.readexactly(1) == b"x"
    except (ConnectionResetError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()


async def test_latency_comes_and_goes_on_open_connections(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        one, other = await dial(wire.listen), await dial(wire.listen)
        assert await ask(one) < 0.1
        await wire.add(toxic("latency", latency=200))
        assert 0.195 <= await ask(one) < 0.5
        assert 0.195 <= await ask(other) < 0.5
        await wire.remove("latency-1")
        await wire.remove("latency-1")
        assert await ask(one) < 0.1
        assert await ask(other) < 0.1
        counters = await wire.counters()
        assert (counters.met, counters.unanswered, counters.refused) == (2, 0, 0)
        one[1].close()
        other[1].close()


async def test_what_latency_holds_back_is_handed_on_in_order_when_it_is_removed(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        reader, writer = await dial(wire.listen)
        await wire.add(toxic("latency", latency=60_000, jitter=30_000))
        words = [f"{n};".encode() for n in range(200)]
        for word in words:
            writer.write(word)
            await asyncio.sleep(0)
        writer.write_eof()
        await until(lambda: _has(wire, "bytes_down", sum(map(len, words))))
        await wire.remove("latency-1")
        async with asyncio.timeout(5):
            assert await reader.read() == b"".join(words)
        writer.close()


async def test_no_byte_is_lost_or_swapped_while_toxics_come_and_go(proxy: ProxyHost) -> None:
    sent, returned = hashlib.sha256(), hashlib.sha256()
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        reader, writer = await dial(wire.listen)

        async def meddle() -> None:
            for turn in range(60):
                stream = ("upstream", "downstream")[turn % 2]
                await wire.add(toxic("latency", latency=5 + turn % 7, jitter=5, stream=stream))
                await asyncio.sleep(0.005)
                await wire.remove("latency-1")

        async def send() -> None:
            meddling = asyncio.create_task(meddle())
            while not meddling.done():
                block = os.urandom(8192)
                sent.update(block)
                writer.write(block)
                await writer.drain()
                await asyncio.sleep(0.001)
            writer.write_eof()

        async with asyncio.timeout(30):
            sending = asyncio.create_task(send())
            while data := await reader.read(MIB):
                returned.update(data)
            await sending
        writer.close()
    assert returned.digest() == sent.digest()
    assert (await wire.counters()).met > 10


async def _has(wire: object, counter: str, value: int) -> bool:
    return bool(getattr(await wire.counters(), counter) == value)  # type: ignore[attr-defined]


async def test_jitter_spreads_the_latency(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("latency", latency=60, jitter=50))
        streams = await dial(wire.listen)
        times = [await ask(streams) for _ in range(30)]
        streams[1].close()
    assert min(times) >= 0.009
    assert min(times) < 0.045
    assert max(times) > 0.075


async def test_bandwidth_lets_everything_through_at_its_rate_and_makes_the_sender_wait(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("bandwidth", rate=200, stream="upstream"))
        block = os.urandom(60_000)
        streams = await dial(wire.listen)
        assert 0.29 <= await ask(streams, block) < 1
        streams[1].write(bytes(8 * MIB))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(streams[1].drain(), 0.3)
        # What a socket and one read of the proxy hold, not all that it was sent.
        assert (await wire.counters()).bytes_up < 4 * MIB
        streams[1].transport.abort()


async def test_a_slicer_cuts_a_chunk_and_loses_nothing(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("slicer", average_size=100, size_variation=50, delay=20_000))
        reader, writer = await dial(wire.listen)
        question = os.urandom(1000)
        writer.write(question)
        pieces: list[bytes] = []
        async with asyncio.timeout(5):
            while len(b"".join(pieces)) < len(question):
                pieces.append(await reader.read(1000))
        writer.close()
    assert b"".join(pieces) == question
    assert len(pieces) > 4
    assert all(len(piece) <= 150 for piece in pieces[:2])


async def test_slow_close_delays_the_end_and_nothing_else(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("slow_close", delay=300))
        reader, writer = await dial(wire.listen)
        assert await ask((reader, writer)) < 0.2
        assert (await wire.counters()).met == 0
        started = time.monotonic()
        writer.write_eof()
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        assert 0.29 <= time.monotonic() - started < 2
        writer.close()
        assert (await wire.counters()).met == 1


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
async def test_limit_data_closes_a_connection_once_that_much_has_passed(proxy: ProxyHost, stream: str) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("limit_data", bytes=10, stream=stream))
        reader, writer = await dial(wire.listen)
        assert await ask((reader, writer), b"12345678") < 0.5
        writer.write(b"90abcdef")
        async with asyncio.timeout(5):
            assert await reader.read() == (b"90" if stream == "downstream" else b"")
        writer.close()
        counters = await wire.counters()
        assert (counters.met, counters.unanswered) == (1, 0)


async def test_what_limit_data_let_through_arrives_though_the_provider_was_not_reached_yet(proxy: ProxyHost) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read())
        writer.close()

    async with provider(hear) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("limit_data", bytes=4, stream="upstream"))
        with socket.create_connection((wire.listen.host, wire.listen.port)) as connection:
            connection.sendall(b"a question that is too long")
            async with asyncio.timeout(5):
                assert await heard == b"a qu"


async def test_timeout_closes_a_connection_after_its_time(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("timeout", timeout=200))
        reader, writer = await dial(wire.listen)
        started = time.monotonic()
        writer.write(b"anyone?")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        assert 0.19 <= time.monotonic() - started < 1
        writer.close()
        assert (await wire.counters()).met == 1


async def test_timeout_0_is_silent_and_spares_the_connections_that_lost_nothing(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        idle, asking = await dial(wire.listen), await dial(wire.listen)
        await ask(idle)
        await ask(asking)
        await wire.add(toxic("timeout", timeout=0, stream="upstream"))
        asking[1].write(b"anyone?")
        await until(lambda: _has(wire, "met", 1))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asking[0].read(1), 0.3)
        await wire.remove("timeout-1")
        async with asyncio.timeout(5):
            assert await asking[0].read() == b""
        assert await ask(idle) < 0.1
        idle[1].close()
        asking[1].close()


async def test_reset_peer_sends_a_real_reset(proxy: ProxyHost) -> None:
    seen: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(1))
        try:
            await reader.read()
            seen.set_result(None)
        except OSError as error:
            seen.set_result(error)
        writer.close()

    async with provider(watch) as upstream:
        wire = await proxy.open(EDGE, upstream)
        await wire.add(toxic("reset_peer", timeout=100))
        reader, writer = await dial(wire.listen)
        started = time.monotonic()
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(5):
                await reader.read()
        assert 0.09 <= time.monotonic() - started < 1
        async with asyncio.timeout(5):
            assert isinstance(await seen, ConnectionResetError)
        writer.close()


async def test_down_resets_new_connections_and_closes_open_ones(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        open_before = await dial(wire.listen)
        await ask(open_before)
        await wire.add(toxic("down"))
        async with asyncio.timeout(5):
            assert await open_before[0].read() == b""
            with pytest.raises(ConnectionResetError):
                reader, writer = await dial(wire.listen)
                await reader.read()
        counters = await wire.counters()
        assert (counters.met, counters.refused) == (1, 0)
        await wire.remove("down-1")
        again = await dial(wire.listen)
        await ask(again)
        for _, writer in (open_before, again):
            writer.close()


async def test_a_toxic_leaves_the_other_wires_alone(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        broken, whole = await proxy.open(EDGE, upstream), await proxy.open(EDGE, upstream)
        streams = await dial(whole.listen)
        await ask(streams)
        await broken.add(toxic("down"))
        assert await ask(streams) < 0.1
        assert await whole.toxics() == []
        assert (await whole.counters()).met == 0
        streams[1].close()


async def test_a_toxic_ends_by_itself(proxy: ProxyHost) -> None:
    async with provider(echo) as upstream:
        wire = await proxy.open(EDGE, upstream)
        added = toxic("latency", latency=300, ttl=0.5)
        await wire.add(added)
        assert await wire.toxics() == [added]
        streams = await dial(wire.listen)
        assert await ask(streams) > 0.29

        async def gone() -> bool:
            return not await wire.toxics()

        await until(gone, 3)
        assert await ask(streams) < 0.1
        streams[1].close()


async def test_a_dead_provider_is_counted_as_refused_and_seen_as_a_reset(proxy: ProxyHost) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        wire = await proxy.open(EDGE, Endpoint("127.0.0.1", unused.getsockname()[1]))
        with pytest.raises(ConnectionResetError):
            reader, _ = await dial(wire.listen)
            async with asyncio.timeout(5):
                await reader.read()
    counters = await wire.counters()
    assert (counters.attempts, counters.refused, counters.unanswered) == (1, 1, 0)


async def test_a_provider_that_hangs_up_on_a_question_is_counted_as_refused(proxy: ProxyHost) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async with provider(rude) as upstream:
        wire = await proxy.open(EDGE, upstream)
        reader, writer = await dial(wire.listen)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(5):
                await reader.read()
    assert (await wire.counters()).refused == 1


async def test_a_silent_provider_owes_an_answer_also_after_the_consumer_gave_up(proxy: ProxyHost) -> None:
    async with provider(silence) as upstream:
        wire = await proxy.open(EDGE, upstream)
        reader, writer = await dial(wire.listen)
        writer.write(b"x")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        assert (await wire.counters()).unanswered == 1
        writer.close()
        await until(lambda: _holds_few_descriptors(proxy))
        counters = await wire.counters()
        assert (counters.unanswered, counters.refused) == (1, 0)


async def test_a_goodbye_wants_no_answer(proxy: ProxyHost) -> None:
    async with provider(silence) as upstream:
        wire = await proxy.open(EDGE, upstream)
        _, writer = await dial(wire.listen)
        writer.write(b"quit")
        writer.close()
        await until(lambda: _has(wire, "bytes_up", 4))
        await until(lambda: _has(wire, "unanswered", 0))
        assert (await wire.counters()).attempts == 2


async def test_a_request_is_counted_once_in_however_many_pieces_it_and_its_answer_come(proxy: ProxyHost) -> None:
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"?"):
            for _ in range(3):
                writer.write(b"well, ")
                await writer.drain()
                await asyncio.sleep(0.01)
            writer.write(b"yes.")

    async with provider(talkative) as upstream:
        wire = await proxy.open(EDGE, upstream)
        reader, writer = await dial(wire.listen)
        for asked in (1, 2):
            for piece in (b"are ", b"you ", b"there?"):
                before = (await wire.counters()).bytes_up
                writer.write(piece)
                await until(lambda wanted=before + len(piece): _has(wire, "bytes_up", wanted))  # type: ignore[misc]
            async with asyncio.timeout(5):
                await reader.readuntil(b"yes.")
            assert (await wire.counters()).requests == asked
        writer.close()
        _, another = await dial(wire.listen)
        await until(lambda: _has(wire, "requests", 3))
        another.close()


async def test_what_the_proxy_cannot_do_it_refuses(proxy: ProxyHost) -> None:
    wire = await proxy.open(EDGE, Endpoint("127.0.0.1", 9))
    for wrong in (
        Toxic("a", "lag", {}),
        Toxic("a", "latency", {"delay": 5}),
        Toxic("a", "latency", {}, stream="sideways"),
        Toxic("a", "latency", {}, toxicity=1.5),
        Toxic("a", "latency", {}, ttl=0),
    ):
        with pytest.raises(GamedayError, match="refused"):
            await wire.add(wrong)
    await wire.add(toxic("down"))
    with pytest.raises(GamedayError, match="already"):
        await wire.add(toxic("down"))


async def test_a_proxy_that_died_is_an_error_and_not_a_hang(proxy: ProxyHost) -> None:
    wire = await proxy.open(EDGE, Endpoint("127.0.0.1", 9))
    assert proxy.pid is not None
    os.kill(proxy.pid, signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(GamedayError, match="edge proxy"):
        while time.monotonic() - started < 5:
            await wire.counters()
    await proxy.stop()


PARENT = textwrap.dedent(
    """
    import asyncio, sys
    from gameday.catalogue import Edge, EdgeKind
    from gameday.proxy import ProxyHost
    from gameday.runtime import Endpoint, Toxic

    async def main():
        host = ProxyHost()
        await host.start()
        wire = await host.open(Edge("web", "api", 80, EdgeKind.HTTP, ()), Endpoint("127.0.0.1", int(sys.argv[1])))
        await wire.add(Toxic("slow", "latency", {"latency": 250}, ttl=1.5))
        print(wire.listen.port, host.pid, flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
    """
)


async def test_the_child_keeps_the_deadline_while_its_parent_is_stopped_and_dies_with_it() -> None:
    async with provider(echo) as upstream:
        parent = subprocess.Popen([sys.executable, "-c", PARENT, str(upstream.port)], stdout=subprocess.PIPE, text=True)
        try:
            assert parent.stdout is not None
            port, pid = map(int, (await asyncio.to_thread(parent.stdout.readline)).split())
            child = procfs.identify(pid)
            assert child is not None
            parent.send_signal(signal.SIGSTOP)
            streams = await dial(Endpoint("127.0.0.1", port))
            assert await ask(streams) > 0.24

            async def fast() -> bool:
                return await ask(streams) < 0.1

            await until(fast, 5)
            streams[1].close()
            parent.kill()

            async def dead() -> bool:
                return not procfs.alive(child)

            await until(dead, 2)
        finally:
            parent.kill()
            parent.wait()
            assert parent.stdout is not None
            parent.stdout.close()
