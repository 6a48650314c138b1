"""Server-sent events to a client that may hang up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from fastapi import Response
from starlette.types import Receive, Scope, Send

from system.gateway.conversation import RefusedError


class EventStream(Response):
    """Sends each piece of `events` at once. A client that hangs up ends them."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no", **headers})
        # Its length is not known.
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        work = asyncio.create_task(self._work(send))
        hung_up = asyncio.create_task(_hung_up(receive))
        hung_up.add_done_callback(lambda _: work.cancel())
        try:
            await work
        except asyncio.CancelledError:
            if not hung_up.done():
                raise
        finally:
            hung_up.cancel()

    async def _work(self, send: Send) -> None:
        started = False
        try:
            async with aclosing(self._events) as pieces:
                async for piece in pieces:
                    if not started:
                        started = True
                        await self._start(send)
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            last = b""
        except RefusedError as refusal:
            self.status_code = refusal.status
            self.headers["content-type"] = refusal.content_type
            await self._start(send)
            last = refusal.body
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
