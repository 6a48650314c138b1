"""The Messages API over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from system.llm_emulator import events, tokens
from system.llm_emulator.errors import ApiError
from system.llm_emulator.faults import Cut, Fault, Faults
from system.llm_emulator.latency import Latency
from system.llm_emulator.limits import Limits
from system.llm_emulator.protocol import Prompt, Request, check_headers, parse
from system.llm_emulator.reply import Reply, compose

ORGANIZATION = "00000000-0000-4000-8000-000000000000"


class Emulator:
    def __init__(self, latency: Latency, limits: Limits, faults: Faults) -> None:
        self._latency = latency
        self._limits = limits
        self._faults = faults

    async def messages(self, http: HttpRequest) -> Response:
        headers = _headers()
        try:
            key = check_headers(http.headers)
            request = parse(Request, await http.body(), beta=_beta(http))
            faults = self._faults.touching()
            for fault in faults:
                fault.admit()
            reply = _spoiled(compose(request), faults)
            headers |= self._limits.admit(key, reply.input_tokens)
        except ApiError as error:
            return refused(error, headers)
        latency = self._latency.of(reply.seed)
        for fault in faults:
            latency = fault.latency(latency)
        if request.stream:
            return Paced(_stream(reply, request.model, latency), faults, "text/event-stream", headers)
        return Paced(_whole(reply, request.model, latency), faults, "application/json", headers)

    async def count_tokens(self, http: HttpRequest) -> Response:
        headers = _headers()
        try:
            check_headers(http.headers)
            prompt = parse(Prompt, await http.body(), beta=_beta(http))
        except ApiError as error:
            return refused(error, headers)
        asked = prompt.model_dump(include={"messages", "system", "tools"})
        counted = tokens.count_input(asked["messages"], asked["system"], asked["tools"])
        return JSONResponse({"input_tokens": counted}, headers=headers)

    async def unknown(self, http: HttpRequest) -> Response:
        return refused(ApiError("not_found_error", f"Not found: {http.method} {http.url.path}"), _headers())


class Paced(StreamingResponse):
    """Sends each frame as it is due. A fault may spoil frames, or end the connection in the middle."""

    def __init__(
        self, frames: AsyncIterator[bytes], faults: list[Fault], media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(self._leaving(frames, faults), headers=headers, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Returning without the last message makes the server close the connection.
        with contextlib.suppress(Cut):
            await super().__call__(scope, receive, send)

    async def _leaving(self, frames: AsyncIterator[bytes], faults: list[Fault]) -> AsyncIterator[bytes]:
        number = 0
        async for frame in frames:
            for fault in faults:
                frame = fault.frame(number, frame)  # noqa: PLW2901 - each fault sees what the one before it left
            yield frame
            number += 1


def refused(error: ApiError, headers: dict[str, str]) -> Response:
    return JSONResponse(error.body(headers["request-id"]), error.status, headers | error.headers)


def _beta(http: HttpRequest) -> bool:
    return "anthropic-beta" in http.headers


def _headers() -> dict[str, str]:
    return {"request-id": events.identifier("req"), "anthropic-organization-id": ORGANIZATION}


def _spoiled(reply: Reply, faults: list[Fault]) -> Reply:
    for fault in faults:
        reply = fault.reply(reply)
    return reply


async def _whole(reply: Reply, model: str, latency: Latency) -> AsyncIterator[bytes]:
    await asyncio.sleep(latency.total(reply.output_tokens))
    yield json.dumps(events.message(reply, model)).encode()


async def _stream(reply: Reply, model: str, latency: Latency) -> AsyncIterator[bytes]:
    """Each event at the time at which a model would have it, whatever came before was late by."""
    due = time.monotonic() + latency.first_token
    await asyncio.sleep(latency.first_token)
    for event in events.opening(reply, model):
        yield events.encode(event)
    for event, count in events.deltas(reply):
        yield events.encode(event)
        due += count * latency.token
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    for event in events.closing(reply):
        yield events.encode(event)
