"""Toxics that let everything through, in order, but later or in other pieces."""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from gameday.proxy.stage import Stage
from gameday.runtime import Toxic

if TYPE_CHECKING:
    from gameday.proxy.link import Link
    from gameday.proxy.pipe import Pipe


class Waiting(Stage):
    """Pieces wait in a queue until each one's time has come. `last` is when the latest of them goes."""

    def __init__(self, link: Link, pipe: Pipe, toxic: Toxic) -> None:
        super().__init__(link, pipe, toxic)
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self.last = 0.0

    def detached(self) -> None:
        super().detached()
        while self._queue:
            self._pop()

    def _put_end(self) -> None:
        if self._queue:
            self._enqueue(None)
        else:
            self.pipe.put(None, after=self)

    def _enqueue(self, piece: bytes | None) -> None:
        self._queue.append((self.last, piece))
        self._hold(len(piece or b""))
        if len(self._queue) == 1:
            self._wait()

    def _wait(self) -> None:
        due = self._queue[0][0] - time.monotonic()
        self.timer = asyncio.get_running_loop().call_later(max(due, 0), self._release)

    def _release(self) -> None:
        # uvloop counts from the start of its turn, so a timer may come a few ms early.
        # One piece a turn: what is written in one turn leaves in one segment.
        if self._queue[0][0] <= time.monotonic():
            self._pop()
        if self._queue:
            self._wait()

    def _pop(self) -> None:
        _, piece = self._queue.popleft()
        self._hold(-len(piece or b""))
        self.pipe.put(piece, after=self)

    def _hold(self, size: int) -> None:
        self.held += size
        self.pipe.balance()


class Queued(Waiting):
    """Each chunk waits, whole or in pieces."""

    @abstractmethod
    def pieces(self, chunk: bytes, now: float) -> Iterator[tuple[float, bytes]]:
        """Of a chunk that came `now`, the pieces, and when each is handed on."""

    def put(self, chunk: bytes | None) -> None:
        if chunk is None:
            self._put_end()
            return
        self.link.met(self)
        for due, piece in self.pieces(chunk, time.monotonic()):
            self.last = due
            self._enqueue(piece)


class Latency(Queued):
    """Each chunk waits `latency` +- `jitter`; the order is kept and the rate is not lowered."""

    defaults: ClassVar[Mapping[str, float]] = {"latency": 0, "jitter": 0}

    def pieces(self, chunk: bytes, now: float) -> Iterator[tuple[float, bytes]]:
        jitter = self.seconds("jitter")
        delay = max(0.0, self.seconds("latency") + random.uniform(-jitter, jitter))  # noqa: S311 - not a secret
        yield max(self.last, now + delay), chunk


class Bandwidth(Queued):
    """At most `rate` kB a second. The sender soon waits too, as on a thin line."""

    defaults: ClassVar[Mapping[str, float]] = {"rate": 1}
    room: ClassVar[int] = 64 * 1024

    def pieces(self, chunk: bytes, now: float) -> Iterator[tuple[float, bytes]]:
        each_second = self.number("rate") * 1000
        # A tenth of a second a piece: a stream that flows thinly, not one that stalls and bursts.
        for piece in _cut(chunk, max(1, int(each_second / 10))):
            yield max(self.last, now) + len(piece) / each_second, piece


class Slicer(Queued):
    """Chunks are cut into pieces of `average_size` +- `size_variation` bytes, `delay` microseconds apart."""

    defaults: ClassVar[Mapping[str, float]] = {"average_size": 1, "size_variation": 0, "delay": 0}
    room: ClassVar[int] = 64 * 1024

    def pieces(self, chunk: bytes, now: float) -> Iterator[tuple[float, bytes]]:
        variation, delay = int(self.number("size_variation")), self.number("delay") / 1_000_000
        start = 0
        while start < len(chunk):
            size = int(self.number("average_size")) + random.randint(-variation, variation)  # noqa: S311 - not a secret
            piece = chunk[start : start + max(1, size)]
            start += len(piece)
            yield max(self.last + delay, now), piece


class SlowClose(Stage):
    """The end of a direction comes `delay` late; what was sent before it does not."""

    defaults: ClassVar[Mapping[str, float]] = {"delay": 0}

    def __init__(self, link: Link, pipe: Pipe, toxic: Toxic) -> None:
        super().__init__(link, pipe, toxic)
        self._ended = False

    def put(self, chunk: bytes | None) -> None:
        if chunk is not None:
            self.pipe.put(chunk, after=self)
            return
        self._ended = True
        self.link.met(self)
        self.timer = asyncio.get_running_loop().call_later(self.seconds("delay"), self._end)

    def detached(self) -> None:
        super().detached()
        if self._ended:
            self._end()

    def _end(self) -> None:
        if not self.pipe.ended:
            self.pipe.put(None, after=self)


def _cut(chunk: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(chunk), size):
        yield chunk[start : start + size]
