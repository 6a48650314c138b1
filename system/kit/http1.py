"""Calls over HTTP/1.1 connections that are kept, one call at a time on each. Times in seconds.

httptools reads what comes. A client that does more costs each call more than all policies of the gateway together
(docs/decisions/0022-a-small-http-client.md): there are no redirects, cookies, proxies or compression here.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from system.kit import deadline

# Our services keep an idle connection for 75 s: what is sent over one that its server is closing is lost.
IDLE_SECONDS = 60.0
HEAD_LIMIT_BYTES = 65_536
# So much of a streamed answer may wait for its reader before the provider has to wait too.
AHEAD_LIMIT_BYTES = 262_144

FINAL = 200
# Whose requests say how long their body is, though it be empty.
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class BrokenError(OSError):
    """No connection, or one that ended early or carries no HTTP."""


@dataclass(frozen=True)
class Place:
    """Where a provider is: what its connections need to know of its address."""

    host: str
    port: int
    tls: bool
    prefix: str
    authority: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises ValueError for what is no http or https address."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url} is not an address of http:// or https://")
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        return cls(parts.hostname, port, tls, parts.path.rstrip("/"), parts.netloc.rpartition("@")[2])


class Connections:
    """Connections to any number of places, made as they are needed."""

    def __init__(self) -> None:
        self._idle: dict[str, list[_Connection]] = {}
        self._places: dict[str, Place] = {}
        self._open: set[_Connection] = set()

    async def call(
        self, url: str, method: str, path: str, headers: Mapping[str, str], *, body: bytes | None = None, within: float
    ) -> Response:
        """The answer as soon as its head is there. Raises BrokenError, TimeoutError; ValueError for an ill-formed call.

        Whoever gets it reads it to its end or closes it.
        """
        ends = time.monotonic() + within
        place = self._places.get(url) or self._places.setdefault(url, Place.of(url))
        message = _written(place, method, path, headers, body)
        connection = self._kept(url) or await self._connect(url, place, within)
        response = connection.send(message)
        try:
            await response.begun(ends - time.monotonic())
        except BaseException:
            response.close()
            raise
        return response

    async def close(self) -> None:
        for connection in tuple(self._open):
            connection.abort()

    def _kept(self, url: str) -> _Connection | None:
        """The one that was used last: it is the least likely to be closed by its server."""
        idle = self._idle.get(url)
        while idle:
            connection = idle.pop()
            if connection.fresh():
                return connection
            connection.abort()
        return None

    async def _connect(self, url: str, place: Place, within: float) -> _Connection:
        idle = self._idle.setdefault(url, [])
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context() if place.tls else None
        try:
            async with deadline.Timeout(within):
                _, made = await loop.create_connection(
                    lambda: _Connection(idle, self._open), place.host, place.port, ssl=tls
                )
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenError(f"no connection to {place.authority}: {error.strerror or error}") from error
        return made


class _Connection(asyncio.Protocol):
    def __init__(self, idle: list[_Connection], opened: set[_Connection]) -> None:
        self._idle = idle
        self._open = opened
        self._parser = HttpResponseParser(self)
        self._answer: Response | None = None
        self.free_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)

    def fresh(self) -> bool:
        return not self._transport.is_closing() and time.monotonic() - self.free_since < IDLE_SECONDS

    def send(self, message: bytes) -> Response:
        self._answer = answer = Response(self)
        self._transport.write(message)
        return answer

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(f"what came is no answer: {error}")
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        if self in self._idle:
            self._idle.remove(self)
        if exc is None and self._answer is not None and self._answer.lasts_until_closed:
            self._answer.complete()
            self._answer = None
        self._fail(str(exc) if exc else "the connection was closed before the answer had ended")

    def pause(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        if self in self._idle:
            self._idle.remove(self)
        self._transport.abort()

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.abort()  # nobody asked

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer:
            self._answer.header(name, value)

    def on_headers_complete(self) -> None:
        if self._answer:
            self._answer.begin(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        if self._answer:
            self._answer.more(body)

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is None or not answer.status:
            return  # of an interim answer, such as 103: the real one follows
        self._answer = None
        if self._parser.should_keep_alive():
            self.free_since = time.monotonic()
            self._idle.append(self)
        else:
            self._transport.close()
        answer.complete()

    def _fail(self, why: str) -> None:
        if self._answer:
            self._answer.fail(BrokenError(why))
            self._answer = None


class Response:
    """An answer while it comes. `status` is 0 until its head is there; header names are lower-case."""

    __slots__ = (
        "_ahead",
        "_connection",
        "_ended",
        "_failure",
        "_head_bytes",
        "_pieces",
        "_waiting",
        "headers",
        "status",
    )

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.status = 0
        self.headers: dict[str, str] = {}
        self._head_bytes = 0
        self._pieces: deque[bytes] = deque()
        self._ahead = 0
        self._ended = False
        self._failure: BrokenError | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def begun(self, within: float) -> None:
        """Raises BrokenError, TimeoutError."""
        while not self.status and not self._failure:
            await self._wait(within)
        if self._failure:
            raise self._failure

    async def piece(self, within: float) -> bytes | None:
        """What came since the last, at least one byte; None at the end. Raises BrokenError, TimeoutError."""
        ends = time.monotonic() + within
        while not self._pieces:
            if self._failure:
                raise self._failure
            if self._ended:
                return None
            await self._wait(ends - time.monotonic())
        return self._taken()

    async def body(self, within: float) -> bytes:
        """All that is left of it. Raises BrokenError, TimeoutError."""
        ends = time.monotonic() + within
        pieces = []
        while piece := await self.piece(ends - time.monotonic()):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Ends the connection unless all of the answer has come, so that the provider notices."""
        if not self._ended:
            self._connection.abort()

    @property
    def lasts_until_closed(self) -> bool:
        """Nothing else says where it ends."""
        return bool(self.status) and not {"content-length", "transfer-encoding"} & self.headers.keys()

    # What its connection tells.

    def header(self, name: bytes, value: bytes) -> None:
        if self.status:
            return  # a trailer
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_LIMIT_BYTES:
            raise BrokenError(f"the head of the answer has more than {HEAD_LIMIT_BYTES} bytes")
        self.headers[name.lower().decode("latin-1")] = value.decode("latin-1")

    def begin(self, status: int) -> None:
        if status < FINAL:
            self.headers.clear()
            return
        self.status = status
        self._wake()

    def more(self, body: bytes) -> None:
        self._pieces.append(body)
        self._ahead += len(body)
        if self._ahead > AHEAD_LIMIT_BYTES:
            self._connection.pause()
        self._wake()

    def complete(self) -> None:
        self._ended = True
        if self._ahead > AHEAD_LIMIT_BYTES:
            self._connection.resume()
        self._wake()

    def fail(self, failure: BrokenError) -> None:
        self._failure = failure
        self._wake()

    def _taken(self) -> bytes:
        taken = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._ahead > AHEAD_LIMIT_BYTES and not self._ended:
            self._connection.resume()
        self._ahead = 0
        return taken

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _wait(self, within: float) -> None:
        """Until something comes. Raises TimeoutError."""
        self._waiting = asyncio.get_running_loop().create_future()
        await deadline.waited(self._waiting, within)


def _written(place: Place, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Raises ValueError where `path` or a header would make another request of it."""
    lines = [f"{method} {place.prefix}{path} HTTP/1.1", f"host: {place.authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None or method in WITH_BODY:
        lines.append(f"content-length: {len(body or b'')}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or lines[0].count(" ") != 2:  # noqa: PLR2004
        raise ValueError(f"{method} {path!r}: a path or a header of this call has a space or a line's end in it")
    return head.encode("latin-1") + b"\r\n\r\n" + (body or b"")
