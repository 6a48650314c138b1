"""The child's control loop: a JSON object a line in, a JSON object a line out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from gameday.proxy.listener import Listener
from gameday.runtime import Endpoint, Toxic

LINE_LIMIT = 1024 * 1024


class Server:
    """The wires by number. Each operation takes and returns JSON values."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._operations: dict[str, Callable[..., Awaitable[Any]]] = {
            "open": self._open,
            "add": self._add,
            "remove": self._remove,
            "toxics": self._toxics,
            "counters": self._counters,
        }

    async def answer(self, line: bytes) -> dict[str, Any]:
        request = json.loads(line)
        try:
            result = await self._operations[request["op"]](**request["arguments"])
        except (ValueError, OSError, TypeError, LookupError) as error:
            return {"id": request["id"], "error": f"{type(error).__name__}: {error}"}
        return {"id": request["id"], "result": result}

    async def _open(self, upstreams: list[dict[str, Any]], port: int = 0) -> dict[str, Any]:
        listener = Listener([Endpoint(**each) for each in upstreams])
        listen = await listener.open(port)
        self._listeners.append(listener)
        return {"wire": len(self._listeners) - 1, "host": listen.host, "port": listen.port}

    async def _add(self, wire: int, toxic: dict[str, Any]) -> None:
        self._listeners[wire].add(Toxic(**toxic))

    async def _remove(self, wire: int, name: str) -> None:
        self._listeners[wire].remove(name)

    async def _toxics(self, wire: int) -> list[dict[str, Any]]:
        return [asdict(toxic) for toxic in self._listeners[wire].toxics()]

    async def _counters(self, wire: int, upstream: int | None = None) -> dict[str, int]:
        listener = self._listeners[wire]
        if upstream is None:
            return asdict(listener.tally)
        one = listener.upstreams[upstream]
        return {"refused": one.refused, "unanswered": one.unanswered}


async def serve() -> None:
    """Answers until stdin ends; the process, its listeners and connections end with it."""
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    server = Server()
    while line := await reader.readline():
        answer = await server.answer(line)
        sys.stdout.buffer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
        sys.stdout.buffer.flush()
