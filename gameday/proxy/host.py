"""The parent's side of the edge proxy: starts the child, speaks to it, hands out wires."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from gameday.catalogue import Edge
from gameday.errors import GamedayError
from gameday.proxy.server import LINE_LIMIT
from gameday.runtime import Counters, Endpoint, Toxic

# The child answers within a millisecond; a silent one is stopped or dead.
ANSWER_SECONDS = 5.0


class ProxyGone(GamedayError):
    """The proxy process ended or does not answer: every wired edge is cut."""


class ProxyHost:
    """The one child for all wires. Not started: `start`. It ends with `stop` or with its parent."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count()
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        # A session of its own: Ctrl-C at a terminal is for the parent to handle.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gameday.proxy",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_LIMIT, start_new_session=True,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read())

    async def open(self, edge: Edge, *upstreams: Endpoint) -> EdgeWire:
        """A new listener on loopback whose connections are carried to `upstreams` in turn."""
        opened = await self.call("open", upstreams=[asdict(each) for each in upstreams])
        return EdgeWire(edge, Endpoint(opened["host"], opened["port"]), upstreams, self, opened["wire"])

    async def balance(self, listen: Endpoint, *upstreams: Endpoint) -> None:
        """Carries what comes to `listen`, on loopback, to `upstreams` in turn."""
        await self.call("open", upstreams=[asdict(each) for each in upstreams], port=listen.port)

    async def call(self, op: str, **arguments: Any) -> Any:
        """Raises GamedayError where the proxy refuses, ProxyGone where there is none."""
        if self._process is None or self._process.stdin is None or self._process.returncode is not None:
            raise ProxyGone("the edge proxy is not running")
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            line = json.dumps({"id": number, "op": op, "arguments": arguments})
            self._process.stdin.write(line.encode() + b"\n")
            return await asyncio.wait_for(self._answers[number], ANSWER_SECONDS)
        except TimeoutError:
            raise ProxyGone(f"the edge proxy (pid {self.pid}) was silent on {op!r} for {ANSWER_SECONDS} s") from None
        finally:
            del self._answers[number]

    async def stop(self) -> None:
        """Idempotent. Ends the child by the end of its stdin, then by force."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 2.0)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        process = self._process
        assert process is not None  # noqa: S101 - narrows the type
        assert process.stdout is not None  # noqa: S101 - narrows the type
        while line := await process.stdout.readline():
            self._settle(json.loads(line))
        await process.wait()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ProxyGone(f"the edge proxy (pid {process.pid}) ended with {process.returncode}"))

    def _settle(self, answer: dict[str, Any]) -> None:
        waiting = self._answers.get(answer["id"])
        if waiting is None or waiting.done():
            return
        if "error" in answer:
            waiting.set_exception(GamedayError(f"the edge proxy refused: {answer['error']}"))
        else:
            waiting.set_result(answer["result"])


@dataclass
class EdgeWire:
    """One wire of the child, as `gameday.runtime.Wire` wants it."""

    edge: Edge
    listen: Endpoint
    upstreams: Sequence[Endpoint]
    host: ProxyHost
    number: int

    async def counters(self, upstream: Endpoint | None = None) -> Counters:
        index = None if upstream is None else self.upstreams.index(upstream)
        return Counters(**await self.host.call("counters", wire=self.number, upstream=index))

    async def toxics(self) -> Sequence[Toxic]:
        return [Toxic(**toxic) for toxic in await self.host.call("toxics", wire=self.number)]

    async def add(self, toxic: Toxic) -> None:
        await self.host.call("add", wire=self.number, toxic=asdict(toxic))

    async def remove(self, name: str) -> None:
        await self.host.call("remove", wire=self.number, name=name)
