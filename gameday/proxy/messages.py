"""Where HTTP/1.1 messages begin and end in a stream of bytes. h11 reads them; no byte is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h11

Event = h11.Request | h11.Response | h11.InformationalResponse | h11.Data | h11.EndOfMessage

# Longer heads than any server takes.
_LONGEST_HEAD = 1024 * 1024
# h11 copies what it has not read yet for each piece.
_BITE = 16 * 1024


class Unreadable(Exception):
    """What came is no HTTP/1.1."""


@dataclass(frozen=True)
class Piece:
    """`raw` as it came. The `event` that it completes; None: a part of the framing."""

    event: Event | None
    raw: bytes


@dataclass
class Message:
    """One request or one answer. `held`: what is not in any piece yet; once `over`, it belongs to the next message."""

    parser: h11.Connection
    held: bytes = b""
    over: bool = False

    @classmethod
    def request(cls) -> Message:
        return cls(h11.Connection(h11.SERVER, _LONGEST_HEAD))

    @classmethod
    def answer(cls, method: bytes) -> Message:
        """To a request of that `method`: an answer to HEAD has no body."""
        parser = h11.Connection(h11.CLIENT, _LONGEST_HEAD)
        parser.send(h11.Request(method=method, target="/", headers=[("host", "")]))
        parser.send(h11.EndOfMessage())
        return cls(parser)

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Raises Unreadable; `held` then has all that was not handed out."""
        while data and not self.over:
            bite, data = data[:_BITE], data[_BITE:]
            self.held += bite
            self.parser.receive_data(bite)
            try:
                yield from self._pieces()
            except Unreadable:
                self.held += data
                raise
        self.held += data

    def _pieces(self) -> Iterator[Piece]:
        while not self.over:
            event = self._next()
            left, _ = self.parser.trailing_data
            raw, self.held = self.held[: len(self.held) - len(left)], left
            self.over = isinstance(event, h11.EndOfMessage)
            if event is not None or raw:
                yield Piece(event, raw)
            if event is None:
                return

    def _next(self) -> Event | None:
        try:
            event = self.parser.next_event()
        except h11.RemoteProtocolError as error:
            raise Unreadable(str(error)) from error
        if isinstance(event, Event):
            return event
        return None
