"""HTTP/1.1 on one connection: which answer belongs to which request, and on which of them a toxic acts.

What it does not act on passes byte for byte, as soon as it is known. A connection that speaks something else,
or turns to it (an upgrade), passes whole.
"""

from __future__ import annotations

import random
import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar

import h11

from gameday.proxy.delays import Waiting
from gameday.proxy.messages import Message, Piece, Unreadable
from gameday.proxy.stage import Stage
from gameday.runtime import Toxic

if TYPE_CHECKING:
    from gameday.proxy.link import Link
    from gameday.proxy.pipe import Pipe

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n")


@dataclass(eq=False)
class Exchange:
    """A request whose answer is not over.

    `met`: the toxic acts on it; `touched`: the answer has begun to be another one. `ours`: the answer, where the
    provider is not asked; with `closes` the connection ends after it. `opaque`: nothing is known of what follows.
    """

    method: bytes = b""
    met: bool = False
    touched: bool = False
    ours: bytes | None = None
    closes: bool = False
    opaque: bool = False


class Answers(Waiting):
    """What the provider sends. `due` are the requests that wait for their answers, the oldest first."""

    def __init__(self, link: Link, pipe: Pipe, toxic: Toxic) -> None:
        super().__init__(link, pipe, toxic)
        self.due: deque[Exchange] = deque()
        self.message: Message | None = None

    @property
    def opaque(self) -> bool:
        return bool(self.due) and self.due[-1].opaque

    def taken(self, piece: Piece, exchange: Exchange) -> bytes:  # noqa: ARG002 - for who acts on the answer
        """What the consumer gets of a piece of the answer."""
        return piece.raw

    def put(self, chunk: bytes | None) -> None:
        if chunk is None:
            self.hand_on(self._unread())
            if not self.pipe.ended:
                self._put_end()
            return
        while chunk:
            chunk = self._follow(chunk)

    def settle(self) -> None:
        """Gives the answers of ours whose turn has come."""
        while self.due and (ours := self.due[0].ours) is not None:
            exchange = self.due.popleft()
            self.hand_on(ours)
            if exchange.closes:
                self._put_end()

    def hand_on(self, data: bytes) -> None:
        if not data:
            return
        if self._queue or self.last > time.monotonic():
            self._enqueue(data)
        else:
            self.pipe.put(data, after=self)

    def detached(self) -> None:
        if any(exchange.ours is not None for exchange in self.due):
            self.link.close()
        self.hand_on(self._unread())
        super().detached()

    def lose(self) -> None:
        """From here on nothing is known of this connection."""
        self.due.append(Exchange(opaque=True))

    def _follow(self, chunk: bytes) -> bytes:
        """Hands on what answers the oldest request. Returns what follows it."""
        if not self.due or self.due[0].opaque:
            self.hand_on(chunk)
            return b""
        exchange, passed = self.due[0], b""
        message = self.message = self.message or Message.answer(exchange.method)
        try:
            for piece in message.feed(chunk):
                passed += self.taken(piece, exchange)
        except Unreadable:
            self.due.clear()
            self.lose()
            self.hand_on(passed if exchange.touched else passed + self._unread())
            if exchange.touched:
                self.link.close()
            return b""
        self.hand_on(passed)
        if not message.over:
            return b""
        self.message = None
        self.due.popleft()
        self.settle()
        return message.held

    def _unread(self) -> bytes:
        message, self.message = self.message, None
        return message.held if message else b""


class Requests(Stage):
    """What the consumer sends. The toxic acts on the share `toxicity` of the requests of its `route`.

    A connection that was open before is followed from the next request on that begins a chunk while no answer is due.
    """

    each_connection: ClassVar[bool] = False
    streams: ClassVar[Sequence[str]] = ("upstream",)
    defaults: ClassVar[Mapping[str, Any]] = {"route": "* *"}
    answered_by: ClassVar[type[Answers]] = Answers

    def __init__(self, link: Link, pipe: Pipe, toxic: Toxic) -> None:
        super().__init__(link, pipe, toxic)
        self.answers = self.answered_by(link, link.pipes["downstream"], toxic)
        self.message: Message | None = None
        self.exchange: Exchange | None = None
        self._followed = False
        self._kept = 0

    def attached(self, *, fresh: bool) -> None:
        self._followed = fresh
        self.answers.pipe.stages.append(self.answers)

    def taken(self, piece: Piece, exchange: Exchange) -> bytes:  # noqa: ARG002 - for who acts on the request
        """What the provider gets of a piece of the request."""
        return piece.raw

    def put(self, chunk: bytes | None) -> None:
        if chunk is None:
            self._pass(self._unread())
            self.pipe.put(None, after=self)
            return
        passed = self._follow(chunk) if self._follows(chunk) else self._unread() + chunk
        self._kept = 0 if passed else self._kept + 1
        self._pass(passed)
        if self.message is None:
            self.link.spare(self._kept)
            self._kept = 0

    def detached(self) -> None:
        super().detached()
        self._pass(self._unread())

    def _follows(self, chunk: bytes) -> bool:
        idle = self.link.pending <= 1  # of which one is this chunk
        self._followed = self._followed or (idle and _REQUEST_LINE.match(chunk) is not None)
        return self._followed and not self.answers.opaque

    def _follow(self, chunk: bytes) -> bytes:
        """What the provider gets of it."""
        passed = b""
        while chunk and not self.answers.opaque:
            message = self.message = self.message or Message.request()
            try:
                for piece in message.feed(chunk):
                    passed += self._take(piece)
            except Unreadable:
                self._lose()
                return passed + self._unread()
            if not message.over:
                return passed
            chunk, self.message, self.exchange = message.held, None, None
        return passed + chunk

    def _take(self, piece: Piece) -> bytes:
        if isinstance(piece.event, h11.Request):
            opaque = _turns(piece.event)
            self.exchange = Exchange(piece.event.method, not opaque and self._meets(piece.event), opaque=opaque)
            self.answers.due.append(self.exchange)
        return piece.raw if self.exchange is None else self.taken(piece, self.exchange)

    def _meets(self, request: h11.Request) -> bool:
        called = b"%b %b" % (request.method, request.target.partition(b"?")[0])
        route = str(self.toxic.attributes.get("route", self.defaults["route"]))
        return fnmatchcase(called.decode("latin-1"), route) and random.random() < self.toxic.toxicity  # noqa: S311 - not a secret

    def _lose(self) -> None:
        if self.exchange is not None and self.exchange.met:
            self.link.close()
        self.answers.lose()

    def _pass(self, data: bytes) -> None:
        if data:
            self.pipe.put(data, after=self)

    def _unread(self) -> bytes:
        message, self.message = self.message, None
        if message is None:
            return b""
        return message.held if self.exchange is None else self.taken(Piece(None, message.held), self.exchange)


def _turns(request: h11.Request) -> bool:
    """Whether the connection may go on in another protocol."""
    proposes = any(name == b"upgrade" for name, _ in request.headers)
    return proposes or request.method == b"CONNECT" or not request.http_version.startswith(b"1.")
