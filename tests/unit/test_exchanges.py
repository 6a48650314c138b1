"""The toxics of HTTP on a real socket: which requests they act on, and that all else passes byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from gameday.proxy.listener import Listener
from gameday.proxy.messages import Message, Unreadable
from gameday.runtime import Endpoint, Toxic

ASK = b"GET /items?page=2 HTTP/1.1\r\nHost: api\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nX-Odd-Case: yes\r\nContent-Length: 4\r\n\r\n[42]"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[4\r\n2\r\n2]\r\n0\r\n\r\n"


class World:
    """A wire to a provider that sends what the test says, when it says so."""

    def __init__(self) -> None:
        self.heard = b""
        self.provider: asyncio.StreamWriter | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.listener = Listener([Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1])])
        self.at = await self.listener.open()

    async def connect(self) -> None:
        self.provider = None
        self.reader, self.writer = await asyncio.open_connection(self.at.host, self.at.port)
        await until(lambda: self.provider is not None)

    async def close(self) -> None:
        self.writer.close()
        for link in tuple(self.listener.links):
            link.close()
        self._server.close()
        assert self.listener._server
        self.listener._server.close()
        await asyncio.gather(*self._serving)

    def add(self, kind: str, *, toxicity: float = 1.0, **attributes: object) -> None:
        self.listener.add(Toxic("toxic", kind, attributes, "upstream", toxicity, 60.0))

    async def asks(self, data: bytes, *, reaches: bool = True) -> None:
        before = len(self.heard)
        self.writer.write(data)
        if reaches:
            await until(lambda: len(self.heard) >= before + len(data))

    def says(self, data: bytes) -> None:
        assert self.provider
        self.provider.write(data)

    async def hears(self, data: bytes) -> None:
        """The consumer gets exactly this, and no more."""
        async with asyncio.timeout(2):
            assert await self.reader.readexactly(len(data)) == data
        await self.nothing()

    async def nothing(self) -> None:
        await asyncio.sleep(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                assert await self.reader.read(1) == b"", "nothing was expected"

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body of an answer that says its length."""
        async with asyncio.timeout(2):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return head, await self.reader.readexactly(int(length.partition(b":")[2]))

    @property
    def met(self) -> int:
        return self.listener.tally.met

    @property
    def unanswered(self) -> int:
        return self.listener.tally.unanswered

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        self.provider = writer
        with suppress(OSError):
            while data := await reader.read(65536):
                self.heard += data
        writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.open()
    await world.connect()
    yield world
    await world.close()


def post(body: bytes, path: bytes = b"/items") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: api\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


async def test_a_status_is_answered_and_the_provider_hears_nothing(world: World) -> None:
    world.add("http-status", status=502)
    await world.connect()
    for request in (ASK, post(b"x" * 100_000), ASK):
        await world.asks(request, reaches=False)
        head, body = await world.answer()
        assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: application/problem+json\r\n")
        assert body == b'{"type": "about:blank", "title": "Bad Gateway", "status": 502}'
    assert (world.heard, world.met, world.unanswered) == (b"", 3, 0)


async def test_only_its_route_meets_it_and_the_others_pass_byte_for_byte(world: World) -> None:
    world.add("http-status", route="GET /items*")
    await world.connect()
    for request in (post(b"[1]"), b"GET /other HTTP/1.1\r\nHOST: api\r\n\r\n"):
        world.heard = b""
        await world.asks(request)
        assert world.heard == request
        for answer in (PLAIN, CHUNKED):
            if answer == CHUNKED:
                await world.asks(request)
            world.says(answer)
            await world.hears(answer)
    assert world.met == 0
    await world.asks(ASK, reaches=False)
    assert (await world.answer())[0].startswith(b"HTTP/1.1 503 ")
    assert (world.met, world.unanswered) == (1, 0)


async def test_a_share_is_one_of_requests_and_not_of_connections(world: World) -> None:
    world.add("http-status", toxicity=0.5)
    await world.connect()
    for number in range(1, 61):
        await world.asks(ASK, reaches=False)
        await until(lambda number=number: world.met + len(world.heard) // len(ASK) == number)  # type: ignore[misc]
        if world.unanswered:
            world.says(PLAIN)
        await world.answer()
    assert 10 <= world.met <= 50
    assert len(world.heard) == (60 - world.met) * len(ASK)


async def test_answers_keep_the_order_of_requests_that_came_at_once(world: World) -> None:
    world.add("http-status", route="POST *")
    await world.connect()
    await world.asks(ASK + post(b"[1]") + ASK + post(b"[2]"), reaches=False)
    await until(lambda: world.heard == ASK + ASK)
    await world.nothing()
    world.says(PLAIN[:30])
    world.says(PLAIN[30:] + CHUNKED)
    async with asyncio.timeout(2):
        assert await world.reader.readexactly(len(PLAIN)) == PLAIN
        assert (await world.answer())[0].startswith(b"HTTP/1.1 503 ")
        assert await world.reader.readexactly(len(CHUNKED)) == CHUNKED
        assert (await world.answer())[0].startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.0\r\n\r\n", b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"],
)
async def test_a_connection_that_ends_with_its_answer_ends(world: World, request_: bytes) -> None:
    world.add("http-status")
    await world.connect()
    await world.asks(request_, reaches=False)
    assert b"connection: close\r\n" in (await world.answer())[0]
    async with asyncio.timeout(2):
        assert await world.reader.read() == b""
    assert (world.heard, world.met) == (b"", 1)


async def test_an_answer_to_head_has_no_body(world: World) -> None:
    world.add("http-status")
    await world.connect()
    await world.asks(ASK.replace(b"GET", b"HEAD"), reaches=False)
    head = await asyncio.wait_for(world.reader.readuntil(b"\r\n\r\n"), 2)
    assert b"content-length: " in head
    await world.nothing()


async def test_an_answer_waits_once_and_then_flows(world: World) -> None:
    world.add("http-delay", delay=150)
    await world.connect()
    await world.asks(ASK)
    world.says(CHUNKED[:60])
    await world.nothing()
    assert world.met == 1
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(2):
        assert await world.reader.readexactly(60) == CHUNKED[:60]
    assert asyncio.get_running_loop().time() - began > 0.1
    began = asyncio.get_running_loop().time()
    world.says(CHUNKED[60:])
    await world.hears(CHUNKED[60:])
    assert asyncio.get_running_loop().time() - began < 0.1


async def test_what_waits_is_handed_on_when_the_fault_is_undone(world: World) -> None:
    world.add("http-delay", delay=60_000)
    await world.connect()
    await world.asks(ASK)
    world.says(PLAIN)
    await until(lambda: world.met == 1)
    world.listener.remove("toxic")
    await world.hears(PLAIN)
    await world.asks(ASK)
    world.says(CHUNKED)
    await world.hears(CHUNKED)


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED])
async def test_another_body_under_the_heads_of_the_provider(world: World, answer: bytes) -> None:
    world.add("http-garbage", body="<html>")
    await world.connect()
    for _ in range(2):
        await world.asks(ASK)
        for byte in answer:
            world.says(bytes([byte]))
        head, body = await world.answer()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert (b"X-Odd-Case: yes" in head) == (answer == PLAIN)
        assert b"chunked" not in head
        assert body == b"<html>"
    await world.nothing()
    assert world.met == 2


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (ASK.replace(b"GET", b"HEAD"), PLAIN[:-4]),
        (ASK, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (post(b""), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_stays_as_it_is(world: World, request_: bytes, answer: bytes) -> None:
    world.add("http-garbage")
    await world.connect()
    await world.asks(request_)
    world.says(answer)
    await world.hears(answer)
    assert world.met == 0


async def test_leave_to_send_a_body_is_given_while_the_answer_is_not_there(world: World) -> None:
    world.add("http-garbage")
    await world.connect()
    head, body = post(b"[1]")[:-3], b"[1]"
    await world.asks(head.replace(b"Host", b"Expect: 100-continue\r\nHost"))
    world.says(b"HTTP/1.1 100 Continue\r\n\r\n")
    await world.hears(b"HTTP/1.1 100 Continue\r\n\r\n")
    await world.asks(body)
    world.says(PLAIN)
    assert (await world.answer())[1] == b"{"


@pytest.mark.parametrize("kind", ["http-status", "http-garbage"])
async def test_a_stream_of_events_flows_where_it_is_not_met(world: World, kind: str) -> None:
    world.add(kind, route="POST *")
    await world.connect()
    await world.asks(ASK)
    world.says(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    await world.hears(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(3):
        world.says(b"9\r\ndata: 1\n\n\r\n")
        await world.hears(b"9\r\ndata: 1\n\n\r\n")


@pytest.mark.parametrize("kind", ["http-status", "http-delay", "http-garbage"])
async def test_what_is_no_http_passes_whole(world: World, kind: str) -> None:
    world.add(kind, **({"delay": 60_000} if kind == "http-delay" else {}))
    for hello in (b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        await world.connect()
        world.heard = b""
        await world.asks(hello + hello)
        assert world.heard == hello + hello
        world.says(b"\x15\x03\x03")
        await world.hears(b"\x15\x03\x03")
    assert world.met == 0


@pytest.mark.parametrize("kind", ["http-status", "http-garbage"])
async def test_who_turns_to_another_protocol_is_let_go(world: World, kind: str) -> None:
    world.add(kind)
    await world.connect()
    await world.asks(b"GET /talk HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    for said in (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", b"\x81\x02hi"):
        world.says(said)
        await world.hears(said)
    await world.asks(ASK)
    assert world.met == 0


async def test_who_turns_to_it_in_pieces_loses_none(world: World) -> None:
    world.add("http-status")
    await world.connect()
    turn = b"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    cut = turn.index(b"3\r\n") + 1  # of a length that is not whole, the parser has kept a byte
    world.writer.write(turn[:cut])
    await until(lambda: world.listener.tally.bytes_up == cut)
    world.writer.write(turn[cut:])
    await until(lambda: len(world.heard) >= len(turn))
    assert world.heard == turn


async def test_an_answer_that_breaks_off_under_another_body_ends_its_connection(world: World) -> None:
    world.add("http-garbage")
    await world.connect()
    await world.asks(ASK)
    world.says(CHUNKED[:-11] + b"no length\r\n")
    await world.answer()
    async with asyncio.timeout(2):
        assert await world.reader.read() == b""


async def test_an_open_connection_meets_it_from_its_next_request_on(world: World) -> None:
    upload = post(ASK * 2)
    await world.asks(upload[:-50])
    world.add("http-status")
    await world.asks(upload[-50:])
    assert world.heard == upload
    world.says(PLAIN)
    await world.hears(PLAIN)
    await world.asks(ASK, reaches=False)
    assert (await world.answer())[0].startswith(b"HTTP/1.1 503 ")


async def test_a_request_that_waits_for_another_is_not_taken_for_the_next(world: World) -> None:
    """It was sent before its forerunner was answered: whose answer comes next is not known."""
    await world.asks(ASK)
    world.add("http-garbage")
    await world.asks(ASK)
    world.says(PLAIN + PLAIN)
    await world.hears(PLAIN + PLAIN)
    assert world.met == 0


async def test_the_half_of_a_head_that_was_held_goes_to_the_provider_at_the_undo(world: World) -> None:
    world.add("http-status")
    await world.connect()
    await world.asks(ASK[:20], reaches=False)
    await until(lambda: world.listener.tally.bytes_up == 20)
    assert world.heard == b""
    world.listener.remove("toxic")
    await world.asks(ASK[20:])
    assert world.heard == ASK
    world.says(PLAIN)
    await world.hears(PLAIN)
    assert world.unanswered == 0


Act = Callable[[World], Awaitable[None]]


async def half_a_request(world: World) -> None:
    world.add("http-status")
    await world.connect()
    await world.asks(post(b"[1]")[:-1], reaches=False)
    await until(lambda: world.listener.tally.bytes_up > 0)


async def half_an_answer(world: World) -> None:
    world.add("http-garbage")
    await world.connect()
    await world.asks(ASK)
    world.says(PLAIN[:-1])
    await world.answer()


async def an_answer_that_waits_for_its_turn(world: World) -> None:
    world.add("http-status", route="POST *")
    await world.connect()
    await world.asks(ASK + post(b"[1]"), reaches=False)
    await until(lambda: world.met == 1)


@pytest.mark.parametrize("act", [half_a_request, half_an_answer, an_answer_that_waits_for_its_turn])
async def test_what_can_no_longer_be_whole_ends_at_the_undo_and_no_other_connection(world: World, act: Act) -> None:
    await act(world)
    torn, heard = world.reader, len(world.heard)
    await world.connect()
    world.listener.remove("toxic")
    async with asyncio.timeout(2):
        assert await torn.read() == b""
    assert len(world.heard) == heard
    await world.asks(ASK)
    world.says(PLAIN)
    await world.hears(PLAIN)


def test_a_toxic_of_http_stands_where_the_requests_come() -> None:
    with pytest.raises(ValueError, match="stream is 'downstream', not one of upstream"):
        Listener([Endpoint("127.0.0.1", 1)]).add(Toxic("toxic", "http-status", {}))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_pieces_of_a_message_are_its_bytes(size: int) -> None:
    sent = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;ext\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n"
    message, pieces = Message.request(), b""
    for start in range(0, len(sent + ASK), size):
        if message.over:
            break
        pieces += b"".join(piece.raw for piece in message.feed((sent + ASK)[start : start + size]))
    assert pieces == sent
    assert ASK.startswith(message.held)


def test_what_cannot_be_read_is_kept_whole() -> None:
    message, wrong = Message.request(), b"\x00" * 40_000
    with pytest.raises(Unreadable):
        list(message.feed(wrong))
    assert message.held == wrong
