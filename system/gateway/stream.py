"""Server-sent events to a client that may hang up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.types import Receive, Send

from system.gateway.conversation import RefusedError
from system.gateway.exchange import Headers
from system.kit import signals, telemetry

MEDIA_TYPE = "text/event-stream"
# A client that does not read holds its answers in our memory: not for long.
SEND_SECONDS = 5.0
STREAMED: Headers = [
    (b"content-type", MEDIA_TYPE.encode() + b"; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """Sends each piece of `events` at once. A client that hangs up ends them."""

    def __init__(self, events: AsyncGenerator[bytes, None], headers: Headers) -> None:
        self._events = events
        self._headers = headers

    async def send(self, receive: Receive, send: Send) -> None:
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
        last = b""
        try:
            async with aclosing(self._events) as pieces:
                async for piece in pieces:
                    if not started:
                        started = True
                        await self._start(send, 200, STREAMED)
                    async with asyncio.timeout(SEND_SECONDS):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            telemetry.logger("chat").warning(signals.LOG_DEAF, seconds=SEND_SECONDS)
            return
        except RefusedError as refusal:
            await self._start(send, refusal.status, [(b"content-type", refusal.content_type.encode("latin-1"))])
            last = refusal.body
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _start(self, send: Send, status: int, headers: Headers) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *self._headers]})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
