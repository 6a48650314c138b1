"""One direction of a connection: a reading side, the stages of its toxics, a writing side."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gameday.proxy.stage import Stage

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Sink(Protocol):
    full: bool

    def put(self, chunk: bytes | None) -> None: ...


class Source(Protocol):
    def throttle(self, paused: bool) -> None: ...


class Pipe:
    """`ended` once the sink was told of the end."""

    def __init__(self, source: Source, sink: Sink) -> None:
        self.source = source
        self.sink = sink
        self.stages: list[Stage] = []
        self.ended = False

    def put(self, chunk: bytes | None, after: Stage | None = None) -> None:
        """Hands a chunk (None: the end) to the stage behind `after`; behind the last is the sink."""
        behind = 0 if after is None else self.stages.index(after) + 1
        if behind < len(self.stages):
            self.stages[behind].put(chunk)
            return
        self.ended = self.ended or chunk is None
        self.sink.put(chunk)

    def balance(self) -> None:
        """The sender waits while the other side, or a toxic on the way, cannot take more."""
        self.source.throttle(self.sink.full or any(stage.full for stage in self.stages))


def close(transport: asyncio.Transport) -> None:
    """In order: what was written still goes out."""
    transport.close()


def reset(transport: asyncio.Transport) -> None:
    """Closes with a TCP reset, as a peer that crashed or a firewall would."""
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
