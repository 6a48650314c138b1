"""The client of the edges against servers that speak HTTP/1.1 well, oddly and badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from system.kit import deadline
from system.kit.http1 import AHEAD_LIMIT_BYTES, HEAD_LIMIT_BYTES, BrokenError, Connections, Place, Response

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Server:
    """Says `answers` in turn, the last for good, each to one request; hangs up after one of `then_closes`."""

    def __init__(self) -> None:
        self.answers: list[bytes] = [OK]
        self.then_closes = False
        self.requests: list[bytes] = []
        self.connections = 0
        self.gone = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        for writer in self.writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [
                    int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
                ]
                self.requests.append(head + await reader.readexactly(sum(length)))
                writer.write(self.answers[0] if len(self.answers) == 1 else self.answers.pop(0))
                if self.then_closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    started = Server()
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    made = Connections()
    yield made
    await made.close()


async def get(connections: Connections, server: Server, path: str = "/", within: float = 5.0) -> Response:
    return await connections.call(server.url, "GET", path, {}, within=within)


async def test_a_connection_is_kept_for_the_next_call(server: Server, connections: Connections) -> None:
    for _ in range(3):
        assert await (await get(connections, server)).body(5) == b"ok"
    assert server.connections == 1


async def test_calls_at_once_have_a_connection_each(server: Server, connections: Connections) -> None:
    answers = await asyncio.gather(*(get(connections, server) for _ in range(5)))
    assert [await answer.body(5) for answer in answers] == [b"ok"] * 5
    assert server.connections == 5


async def test_what_is_sent(server: Server, connections: Connections) -> None:
    url = server.url + "/below/"
    answer = await connections.call(url, "POST", "/path?q=1", {"x-name": "value"}, body=b"body", within=5)
    await answer.body(5)
    answer = await connections.call(url, "DELETE", "/path", {}, within=5)
    await answer.body(5)
    answer = await connections.call(url, "PUT", "/path", {}, within=5)
    await answer.body(5)
    place = server.url.removeprefix("http://").encode()
    assert server.requests == [
        b"POST /below/path?q=1 HTTP/1.1\r\nhost: %s\r\nx-name: value\r\ncontent-length: 4\r\n\r\nbody" % place,
        b"DELETE /below/path HTTP/1.1\r\nhost: %s\r\n\r\n" % place,
        b"PUT /below/path HTTP/1.1\r\nhost: %s\r\ncontent-length: 0\r\n\r\n" % place,
    ]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        pytest.param(CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200, b"hello", id="chunks"),
        pytest.param(CHUNKED + b"2\r\nhe\r\n0\r\nx-trailer: t\r\n\r\n", 200, b"he", id="chunks and a trailer"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="nothing"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 404, b"", id="an error"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, 200, b"ok", id="an interim answer first"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok", id="a needless continue"),
    ],
)
async def test_answers(server: Server, connections: Connections, answer: bytes, status: int, body: bytes) -> None:
    server.answers = [answer]
    for _ in range(2):  # what is left over of one would spoil the next
        found = await get(connections, server)
        assert (found.status, await found.body(5)) == (status, body)
        assert {"x-trailer", "link"}.isdisjoint(found.headers)
    assert server.connections == 1


async def test_an_answer_that_comes_byte_by_byte(server: Server, connections: Connections) -> None:
    server.answers = [b""]
    asking = asyncio.create_task(get(connections, server))
    while not server.requests:
        await asyncio.sleep(0)
    for byte in b"HTTP/1.1 200 OK\r\nX-Name: Value\r\ncontent-length: 2\r\n\r\nok":
        server.writers[0].write(bytes([byte]))
        await asyncio.sleep(0.001)
    found = await asking
    assert found.headers == {"x-name": "Value", "content-length": "2"}
    assert await found.body(5) == b"ok"


async def test_an_answer_that_lasts_until_the_connection_ends(server: Server, connections: Connections) -> None:
    server.answers, server.then_closes = [b"HTTP/1.1 200 OK\r\n\r\nall of it"], True
    assert await (await get(connections, server)).body(5) == b"all of it"
    assert await (await get(connections, server)).body(5) == b"all of it"
    assert server.connections == 2
    found = await get(connections, server)
    assert [await found.piece(5), await found.piece(5)] == [b"all of it", None]


async def test_who_closes_after_an_answer_is_asked_anew(server: Server, connections: Connections) -> None:
    server.answers, server.then_closes = [OK], True
    for _ in range(3):
        assert await (await get(connections, server)).body(5) == b"ok"
        await asyncio.sleep(0.01)  # time for its end to be heard of
    assert server.connections == 3


async def test_close_is_honoured(server: Server, connections: Connections) -> None:
    server.answers = [OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")]
    for _ in range(2):
        assert await (await get(connections, server)).body(5) == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(b"", "before the answer had ended", id="none"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-le", "before the answer had ended", id="half a head"),
        pytest.param(OK[:-1], "before the answer had ended", id="half a body"),
        pytest.param(CHUNKED + b"5\r\nhel", "before the answer had ended", id="half a chunk"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n", "before the answer had ended", id="no last chunk"),
        pytest.param(CHUNKED + b"zz\r\n", "no answer", id="no chunk"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "no answer", id="another protocol"),
        pytest.param(b"HTTP/1.1 101 X\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", "answer", id="an upgrade"),
        pytest.param(OK.replace(b"\r\n\r\n", b"\r\ncontent-length: 3\r\n\r\n"), "no answer", id="two lengths"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nx: " + b"y" * HEAD_LIMIT_BYTES + b"\r\n\r\n", "no answer", id="an endless head"
        ),
    ],
)
async def test_what_is_no_answer(server: Server, connections: Connections, answer: bytes, told: str) -> None:
    server.answers, server.then_closes = [answer], True
    with pytest.raises(BrokenError, match=told):
        await (await get(connections, server)).body(5)
    server.answers, server.then_closes = [OK], False
    assert await (await get(connections, server)).body(5) == b"ok"


async def test_what_nobody_asked_for_is_not_taken_for_an_answer(server: Server, connections: Connections) -> None:
    server.answers = [OK + OK.replace(b"ok", b"no"), OK]
    assert await (await get(connections, server)).body(5) == b"ok"
    assert await (await get(connections, server)).body(5) == b"ok"
    server.writers[-1].write(OK[:-2])
    await asyncio.sleep(0.05)
    assert await (await get(connections, server)).body(5) == b"ok"


async def test_nobody_there(connections: Connections) -> None:
    with pytest.raises(BrokenError, match=r"no connection to 127\.0\.0\.1:1: "):
        await connections.call("http://127.0.0.1:1", "GET", "/", {}, within=5)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1]], ids=["nothing", "half a head", "half a body"]
)
async def test_who_stalls_is_left_in_time(server: Server, connections: Connections, answer: bytes) -> None:
    server.answers = [answer]
    with pytest.raises(TimeoutError):
        found = await get(connections, server, within=0.05)
        try:
            await found.body(0.05)
        finally:
            found.close()
    async with asyncio.timeout(5):
        await server.gone.wait()


async def test_a_timer_that_is_late_is_fair(server: Server, connections: Connections) -> None:
    """The answer came in time, but this process had no processor to see it."""
    loop = asyncio.get_running_loop()
    waited = loop.create_future()
    asking = asyncio.create_task(deadline.waited(waited, 0.01))
    await asyncio.sleep(0)
    end = loop.time() + 0.1
    while loop.time() < end:
        pass
    loop.call_later(0.005, waited.set_result, None)
    await asking


async def test_who_gives_up_ends_the_connection(server: Server, connections: Connections) -> None:
    server.answers = [b""]
    asking = asyncio.create_task(get(connections, server))
    while not server.requests:
        await asyncio.sleep(0.001)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(5):
        await server.gone.wait()


async def test_pieces_come_as_they_are_sent(server: Server, connections: Connections) -> None:
    server.answers = [CHUNKED + b"5\r\nfirst\r\n"]
    found = await get(connections, server)
    assert await found.piece(5) == b"first"
    server.writers[0].write(b"6\r\nsecond\r\n0\r\n\r\n")
    assert await found.piece(5) == b"second"
    assert await found.piece(5) is None
    assert await found.piece(5) is None


async def test_what_came_before_the_end_was_missed_is_given_first(server: Server, connections: Connections) -> None:
    server.answers, server.then_closes = [CHUNKED + b"5\r\nfirst\r\n"], True
    found = await get(connections, server)
    assert await found.piece(5) == b"first"
    with pytest.raises(BrokenError):
        await found.piece(5)


async def test_who_does_not_read_holds_little(server: Server, connections: Connections) -> None:
    """And whoever reads on gets all of it."""
    large = b"x" * (64 * AHEAD_LIMIT_BYTES)
    server.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(large), large)]
    found = await get(connections, server)
    await settled(lambda: found._ahead)
    assert AHEAD_LIMIT_BYTES < found._ahead < 4 * AHEAD_LIMIT_BYTES
    assert await found.body(5) == large
    assert await (await get(connections, server)).body(5) == large
    assert server.connections == 1


async def test_an_answer_that_nobody_read_leaves_a_good_connection(server: Server, connections: Connections) -> None:
    large = b"x" * (AHEAD_LIMIT_BYTES + 1000)
    server.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(large), large), OK]
    found = await get(connections, server)
    await settled(lambda: found._ahead)
    assert await (await get(connections, server)).body(5) == b"ok"
    assert server.connections == 1


async def settled(measure: Callable[[], int]) -> None:
    before = -1
    while (now := measure()) != before:
        before = now
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/a b", {}),
        ("/a\r\nx: y", {}),
        ("/", {"x": "a\r\nx-tier: pro"}),
        ("/", {"x": "a\nb"}),
        ("/", {"x": "a\rb"}),
        ("/", {"x\r\ny": "a"}),
        ("/", {"x": "smile ☺"}),
    ],
)
async def test_nobody_smuggles(server: Server, connections: Connections, path: str, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        await connections.call(server.url, "GET", path, headers, within=5)
    assert not server.requests


@pytest.mark.parametrize("url", ["ftp://there", "there", "http://", "http:///path"])
def test_what_is_no_place(url: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Place.of(url)


def test_places() -> None:
    assert Place.of("http://user-svc:8000/below/") == Place("user-svc", 8000, False, "/below", "user-svc:8000")
    assert Place.of("https://name:secret@there").port == 443
    assert Place.of("https://name:secret@there").authority == "there"
    assert Place.of("http://[::1]:80").host == "::1"
