"""Toxics that lose data or the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from gameday.proxy.stage import Stage
from gameday.runtime import Toxic

if TYPE_CHECKING:
    from gameday.proxy.link import Link
    from gameday.proxy.pipe import Pipe


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


class LimitData(Stage):
    """After `bytes` have passed, the connection is closed."""

    defaults: ClassVar[Mapping[str, float]] = {"bytes": 0}

    def __init__(self, link: Link, pipe: Pipe, toxic: Toxic) -> None:
        super().__init__(link, pipe, toxic)
        self._left = int(self.number("bytes"))
        self._spent = False

    def put(self, chunk: bytes | None) -> None:
        if self._spent:
            return
        if chunk is None or len(chunk) < self._left:
            self._left -= len(chunk or b"")
            self.pipe.put(chunk, after=self)
            return
        self._spent = True
        self.link.met(self, lost=True)
        if self._left:
            self.pipe.put(chunk[: self._left], after=self)
        self.link.part()
