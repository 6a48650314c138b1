"""A toxic at work on one direction of one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from gameday.runtime import Toxic

if TYPE_CHECKING:
    from gameday.proxy.link import Link
    from gameday.proxy.pipe import Pipe


class Stage:
    """`defaults` are the toxic's attributes, in its own units: milliseconds where nothing else is said.

    `held` bytes wait in it; above `room` the sender is made to wait. `each_connection`: whether the toxic's share is
    one of connections; else the stage itself draws on what it acts. `streams` are those that it can work on.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    each_connection: ClassVar[bool] = True
    streams: ClassVar[Sequence[str]] = ("upstream", "downstream")
    room: ClassVar[int] = 4 * 1024 * 1024

    def __init__(self, link: Link, pipe: Pipe, toxic: Toxic) -> None:
        self.link = link
        self.pipe = pipe
        self.toxic = toxic
        self.held = 0
        self.timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        return self.held > self.room

    def number(self, attribute: str) -> float:
        return float(self.toxic.attributes.get(attribute, self.defaults[attribute]))

    def seconds(self, attribute: str) -> float:
        """Of an attribute in milliseconds."""
        return self.number(attribute) / 1000

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
