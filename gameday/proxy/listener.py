"""One wire inside the proxy: a listening socket, its connections, its toxics and their deadlines.

Connections go to the replicas of the provider in turn. One that refuses a
connection is passed over; Docker's name server does no better, and needs no
knowledge of what is spoken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gameday.proxy.link import Link, Side
from gameday.proxy.tally import Tally, Upstream
from gameday.proxy.toxics import STAGES
from gameday.runtime import Endpoint, Toxic

# A burst of new connections waits here; the kernel caps it at net.core.somaxconn.
BACKLOG = 4096


class Listener:
    def __init__(self, upstreams: Sequence[Endpoint]) -> None:
        self.upstreams = [Upstream(endpoint) for endpoint in upstreams]
        self.tally = Tally()
        self.links: set[Link] = set()
        self._toxics: dict[str, Toxic] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._server: asyncio.Server | None = None
        self._turn = -1

    async def open(self, port: int = 0) -> Endpoint:
        """Listens on `port` of loopback; 0: on a free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", port, backlog=BACKLOG)
        return Endpoint(*self._server.sockets[0].getsockname()[:2])

    def toxics(self) -> list[Toxic]:
        return list(self._toxics.values())

    def add(self, toxic: Toxic) -> None:
        """Acts on the open connections too. Raises ValueError for what the proxy cannot do."""
        if wrong := list(_wrong(toxic, self._toxics)):
            raise ValueError("; ".join(wrong))
        self._toxics[toxic.name] = toxic
        loop = asyncio.get_running_loop()
        self._deadlines[toxic.name] = loop.call_later(toxic.ttl, self.remove, toxic.name)
        for link in tuple(self.links):
            link.attach(toxic)

    def remove(self, name: str) -> None:
        if self._toxics.pop(name, None) is None:
            return
        self._deadlines.pop(name).cancel()
        for link in tuple(self.links):
            link.detach(name)

    def _accept(self) -> Side:
        self._turn = (self._turn + 1) % len(self.upstreams)
        in_turn = [*self.upstreams[self._turn :], *self.upstreams[: self._turn]]
        link = Link(in_turn, self.tally, self.toxics, self.links.discard)
        self.links.add(link)
        return link.consumer


def _wrong(toxic: Toxic, present: dict[str, Toxic]) -> Sequence[str]:
    if toxic.kind not in STAGES:
        return [f"there is no toxic {toxic.kind!r}; known: {', '.join(STAGES)}"]
    wrong = []
    if toxic.name in present:
        wrong.append(f"there is a toxic {toxic.name!r} already")
    if toxic.stream not in STAGES[toxic.kind].streams:
        wrong.append(f"stream is {toxic.stream!r}, not one of {', '.join(STAGES[toxic.kind].streams)}")
    if not 0 <= toxic.toxicity <= 1:
        wrong.append(f"toxicity is {toxic.toxicity}, not between 0 and 1")
    if not toxic.ttl > 0:
        wrong.append(f"ttl is {toxic.ttl} s, not above 0")
    wrong += [
        f"{toxic.kind} has no attribute {key!r}" for key in toxic.attributes if key not in STAGES[toxic.kind].defaults
    ]
    return wrong
