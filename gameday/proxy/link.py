"""One connection of a consumer, and the connection to the provider that belongs to it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from gameday.proxy.pipe import Pipe, close, reset
from gameday.proxy.stage import Stage
from gameday.proxy.toxics import STAGES
from gameday.runtime import Toxic

if TYPE_CHECKING:
    from gameday.proxy.tally import Tally, Upstream

# Drivers say goodbye (PostgreSQL's Terminate, Redis' QUIT) and hang up in one breath.
# Nobody waits for an answer to that, so it is not an attempt that stayed without one.
GOODBYE_SECONDS = 0.01


class Side(asyncio.Protocol):
    """One socket of a link. Until it is connected, what is written to it waits."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.reads: Pipe
        self.full = True
        self.at_end = False
        self._paused = False
        self._early: list[bytes | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.full = False
        early, self._early = self._early, []
        for chunk in early:
            self.put(chunk)
        self.link.connected(self)

    def data_received(self, data: bytes) -> None:
        if self.link.over:
            return
        self.link.received(self, data)
        self.reads.put(data)
        self.reads.balance()

    def eof_received(self) -> bool:
        if self.link.over:
            return True
        self.at_end = True
        self.link.ended(self)
        self.reads.put(None)
        self.link.settle()
        return True

    def pause_writing(self) -> None:
        self.full = True
        self.link.balance()

    def resume_writing(self) -> None:
        self.full = False
        self.link.balance()

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.lost(self, broken=exc is not None)

    def put(self, chunk: bytes | None) -> None:
        if self.transport is None:
            self._early.append(chunk)
        elif self.transport.is_closing():
            return
        elif chunk is None:
            self.transport.write_eof()
            self.link.settle()
        else:
            self.transport.write(chunk)

    def throttle(self, paused: bool) -> None:
        if self.transport is None or self.at_end or self.transport.is_closing() or paused == self._paused:
            return
        self._paused = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


class Link:
    """The first of `upstreams` that can be reached is the provider.

    `pending` counts the attempts of this link that have got no byte back yet. It is the consumer's `turn` until
    it has begun a request, and again when the provider has spoken.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        tally: Tally,
        toxics: Callable[[], list[Toxic]],
        done: Callable[[Link], None],
    ) -> None:
        self.upstreams = upstreams
        self.upstream = upstreams[0]
        self.tally = tally
        self.pending = 0
        self.turn = True
        self.over = False
        self._parting = False
        self._asked = 0.0
        self.consumer = Side(self)
        self.provider = Side(self)
        self.pipes = {"upstream": Pipe(self.consumer, self.provider), "downstream": Pipe(self.provider, self.consumer)}
        self.consumer.reads = self.pipes["upstream"]
        self.provider.reads = self.pipes["downstream"]
        self._toxics = toxics
        self._done = done
        self._connecting: asyncio.Task[None] | None = None

    def attach(self, toxic: Toxic, *, fresh: bool = False) -> None:
        """Toxicity is the share of connections that a toxic acts on, as in Toxiproxy; in HTTP it is one of requests."""
        kind = STAGES[toxic.kind]
        if self.over or (kind.each_connection and random.random() >= toxic.toxicity):  # noqa: S311 - not a secret
            return
        pipe = self.pipes[toxic.stream]
        stage = kind(self, pipe, toxic)
        pipe.stages.append(stage)
        stage.attached(fresh=fresh)

    def detach(self, name: str) -> None:
        for pipe in self.pipes.values():
            for stage in [stage for stage in pipe.stages if stage.toxic.name == name]:
                stage.detached()
                pipe.stages.remove(stage)
                pipe.balance()
        self.settle()

    def connected(self, side: Side) -> None:
        if side is self.provider:
            self._reached()
            return
        self.tally.connections += 1
        self._requested()
        self._attempted()
        for toxic in self._toxics():
            self.attach(toxic, fresh=True)
        if not self.over:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def received(self, side: Side, data: bytes) -> None:
        if side is self.consumer:
            self._asked = time.monotonic()
            self.tally.bytes_up += len(data)
            self._requested()
            self._attempted()
        else:
            self.tally.bytes_down += len(data)
            self.turn = True
            self._answered(self.pending)

    def ended(self, side: Side) -> None:
        """`side` sends nothing more: a provider hung up on what it had not answered yet."""
        if self.over or not self.pending:
            return
        if side is self.provider:
            self.tally.refused += self.pending
            self.upstream.refused += self.pending
            self._answered(self.pending)
        elif time.monotonic() - self._asked < GOODBYE_SECONDS:
            self._asked = 0.0
            self._answered(1)

    def refuse(self, *, fresh: bool) -> None:
        """As if nothing listened: a new connection is reset, an open one closed."""
        self.tally.met += self.pending
        self._answered(self.pending)
        self._finish(reset if fresh else close)

    def met(self, stage: Stage, *, lost: bool = False) -> None:
        """A toxic touched a chunk; `lost`: the provider will not see it, so it owes no answer."""
        self.tally.met += 1
        if lost and stage.pipe is self.pipes["upstream"]:
            self.spare(1)

    def spare(self, chunks: int) -> None:
        """The provider will not see these chunks of the consumer."""
        self._answered(min(chunks, self.pending))

    def lost(self, side: Side, *, broken: bool) -> None:
        self.ended(side)
        self._finish(reset if broken else close)

    def settle(self) -> None:
        if all(pipe.ended for pipe in self.pipes.values()):
            self.close()

    def balance(self) -> None:
        for pipe in self.pipes.values():
            pipe.balance()

    def close(self) -> None:
        self._finish(close)

    def part(self) -> None:
        """Closes, but lets a provider that is still being reached have what was already sent to it."""
        self._parting = True
        if self.provider.transport is not None:
            self.close()

    def reset(self) -> None:
        self._finish(reset)

    async def _connect(self) -> None:
        for upstream in self.upstreams:
            if upstream is not self.upstream:
                self._pass_over(upstream)
            if await self._reaches(upstream):
                return
        self.ended(self.provider)
        self.reset()

    async def _reaches(self, upstream: Upstream) -> bool:
        host, port = upstream.endpoint.host, upstream.endpoint.port
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.provider, host, port)
        except OSError:
            return False
        return True

    def _pass_over(self, upstream: Upstream) -> None:
        """The one before refused: what it owes is now owed by `upstream`."""
        self.upstream.refused += self.pending
        self.upstream.unanswered -= self.pending
        upstream.unanswered += self.pending
        self.upstream = upstream

    def _reached(self) -> None:
        if self.over:
            # The consumer hung up in the moment in which the provider answered.
            assert self.provider.transport is not None  # noqa: S101 - narrows the type
            self.provider.transport.abort()
            return
        self._answered(1)
        self.balance()
        if self._parting:
            self.close()

    def _requested(self) -> None:
        self.tally.requests += self.turn
        self.turn = False

    def _attempted(self) -> None:
        self.tally.attempts += 1
        self.tally.unanswered += 1
        self.upstream.unanswered += 1
        self.pending += 1

    def _answered(self, attempts: int) -> None:
        self.tally.unanswered -= attempts
        self.upstream.unanswered -= attempts
        self.pending -= attempts

    def _finish(self, end: Callable[[asyncio.Transport], None]) -> None:
        if self.over:
            return
        self.over = True
        if self._connecting is not None and self.provider.transport is None:
            self._connecting.cancel()
        for pipe in self.pipes.values():
            for stage in pipe.stages:
                stage.cancel()
        for side in (self.consumer, self.provider):
            if side.transport is not None:
                end(side.transport)
        self._done(self)
