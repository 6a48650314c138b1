"""What each toxic does to one direction of one connection. Names and attributes are Toxiproxy's."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from gameday.runtime import Toxic

if TYPE_CHECKING:
    from gameday.proxy.link import Link
    from gameday.proxy.pipe import Pipe


class Stage:
    """A toxic at work on one pipe. `defaults` are its attributes, in milliseconds."""

    defaults: ClassVar[Mapping[str, float]] = {}

    def __init__(self, link: Link, pipe: Pipe, toxic: Toxic) -> None:
        self.link = link
        self.pipe = pipe
        self.toxic = toxic
        self.timer: asyncio.TimerHandle | None = None

    def seconds(self, attribute: str) -> float:
        return float(self.toxic.attributes.get(attribute, self.defaults[attribute])) / 1000

    def put(self, chunk: bytes | None) -> None:
        """Takes a chunk (None: the end) and hands it on now, later or never."""
        self.pipe.put(chunk, after=self)

    def attached(self, *, fresh: bool) -> None:
        """`fresh`: the connection was just accepted; else it was open before the toxic."""

    def detached(self) -> None:
        """The toxic is taken away: hand on what is held, or end what can no longer be whole."""
        self.cancel()

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class Latency(Stage):
    """Each chunk waits `latency` +- `jitter`; the order is kept and the rate is not lowered."""

    defaults: ClassVar[Mapping[str, float]] = {"latency": 0, "jitter": 0}

    def __init__(self, link: Link, pipe: Pipe, toxic: Toxic) -> None:
        super().__init__(link, pipe, toxic)
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._last = 0.0

    def put(self, chunk: bytes | None) -> None:
        if chunk is not None:
            self.link.met(self)
            self._last = max(self._last, time.monotonic() + self._delay())
        elif not self._queue:
            self.pipe.put(None, after=self)
            return
        self._queue.append((self._last, chunk))
        self.pipe.hold(len(chunk or b""))
        if len(self._queue) == 1:
            self._wait()

    def detached(self) -> None:
        super().detached()
        while self._queue:
            self._pop()

    def _delay(self) -> float:
        jitter = self.seconds("jitter")
        return max(0.0, self.seconds("latency") + random.uniform(-jitter, jitter))  # noqa: S311 - not a secret

    def _wait(self) -> None:
        # uvloop counts from the start of its turn, so a timer may come a few ms early.
        due = self._queue[0][0] - time.monotonic()
        self.timer = asyncio.get_running_loop().call_later(max(due, 0), self._release)

    def _release(self) -> None:
        while self._queue and self._queue[0][0] <= time.monotonic():
            self._pop()
        if self._queue:
            self._wait()

    def _pop(self) -> None:
        _, chunk = self._queue.popleft()
        self.pipe.hold(-len(chunk or b""))
        self.pipe.put(chunk, after=self)


class Swallow(Stage):
    """Lets nothing through. A connection that lost data can only be ended afterwards."""

    def __init__(self, link: Link, pipe: Pipe, toxic: Toxic) -> None:
        super().__init__(link, pipe, toxic)
        self.lost = False
        self.ended = False

    def put(self, chunk: bytes | None) -> None:
        if chunk is None:
            self.ended = True
        else:
            self.lost = True
            self.link.met(self, lost=True)

    def end(self) -> None:
        self.link.close()

    def detached(self) -> None:
        super().detached()
        if self.lost:
            self.end()
        elif self.ended:
            self.pipe.put(None, after=self)

    def after(self, seconds: float) -> None:
        self.timer = asyncio.get_running_loop().call_later(seconds, self.end)


class Timeout(Swallow):
    """Nothing gets through, and the connection is closed after `timeout`; 0: never."""

    defaults: ClassVar[Mapping[str, float]] = {"timeout": 0}

    def attached(self, *, fresh: bool) -> None:  # noqa: ARG002 - an open connection is treated alike
        if self.seconds("timeout") > 0:
            self.after(self.seconds("timeout"))


class ResetPeer(Swallow):
    """The first chunk is answered with a TCP reset, `timeout` after it came."""

    defaults: ClassVar[Mapping[str, float]] = {"timeout": 0}

    def put(self, chunk: bytes | None) -> None:
        if chunk is None and not self.lost:
            self.pipe.put(None, after=self)
            return
        first = not self.lost
        super().put(chunk)
        if not first:
            return
        if self.seconds("timeout") > 0:
            self.after(self.seconds("timeout"))
        else:
            self.end()

    def end(self) -> None:
        self.link.reset()


class Down(Stage):
    """New connections are reset before the provider hears of them; open ones are closed."""

    def attached(self, *, fresh: bool) -> None:
        self.link.refuse(fresh=fresh)


STAGES: Mapping[str, type[Stage]] = {
    "latency": Latency,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "down": Down,
}
