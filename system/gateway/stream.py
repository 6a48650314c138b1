"""Server-sent events handed through: each as soon as it is there, whole ones only, and always with an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send

from system.kit.client import Edge, StreamAnswer, UnavailableError

MEDIA_TYPE = "text/event-stream"
END_OF_EVENT = b"\n\n"
LAST_EVENT = b"event: done"


class EventStream(Response):
    """The answer of `edge` to a POST of `body`.

    `ending` gives the events that stand in for what did not come: for all, where
    `started` is false, else for the end. A client that hangs up ends the call.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        edge: Edge,
        path: str,
        body: object,
        *,
        timeout: float,
        ending: Callable[[UnavailableError, bool], bytes],
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no", **headers})
        # Its length is not known.
        del self.headers["content-length"]
        self._edge = edge
        self._path = path
        self._body = body
        self._timeout = timeout
        self._ending = ending
        self._started = False

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
        try:
            async with self._edge.stream("POST", self._path, timeout=self._timeout, json=self._body) as answer:
                if MEDIA_TYPE in answer.headers.get("content-type", ""):
                    await self._pass(answer, send)
                else:
                    await self._refuse(answer, send)
        except UnavailableError as error:
            events = self._ending(error, self._started)
            await self._start(send)
            await send({"type": "http.response.body", "body": events, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass(self, answer: StreamAnswer, send: Send) -> None:
        ended = False
        async for events in whole_events(answer.chunks()):
            await self._start(send)
            await send({"type": "http.response.body", "body": events, "more_body": True})
            ended = ended or LAST_EVENT in events
        if not ended:
            raise UnavailableError(self._edge.name, "connection", "the stream ended too early")

    async def _refuse(self, answer: StreamAnswer, send: Send) -> None:
        """A 4xx, which comes as a problem document."""
        self.status_code = answer.status
        self.headers["content-type"] = answer.headers.get("content-type", "application/problem+json")
        await self._start(send)
        async for chunk in answer.chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _start(self, send: Send) -> None:
        if not self._started:
            self._started = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})


async def whole_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Regroups pieces so that each ends where an event ends. What is left of a half event at the end is dropped."""
    rest = b""
    async for chunk in chunks:
        events, end, rest = (rest + chunk).rpartition(END_OF_EVENT)
        if end:
            yield events + end


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
