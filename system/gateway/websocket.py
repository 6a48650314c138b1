"""Chat over a WebSocket: a JSON text frame a question, one a piece of its answer.

In: {"message": "...", "sessionId": "..."?}. Out: {"event": "delta" | "done" | "problem", "data": {...}}.
The token comes in the header `authorization`, or, from browsers, which cannot set it,
as the subprotocol `bearer.<token>` beside `chat`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from system.gateway import policies
from system.gateway.conversation import ChatSaid, RefusedError, answer, question
from system.gateway.gateway import Gateway
from system.gateway.stream import SEND_SECONDS
from system.kit import deadline, problem
from system.kit.problem import ProblemError
from system.kit.tokens import Claims

PROTOCOL = "chat"
TOKEN_PREFIX = "bearer."  # noqa: S105
# Close codes of our own, after the HTTP status that each stands for.
CODES = {401: 4401, 403: 4403, 503: 4503}
GOING_AWAY, TRY_AGAIN_LATER = 1001, 1013
IDLE_SECONDS = 300.0
WAITING_QUESTIONS = 4

router = APIRouter()


@router.websocket(f"{policies.CHAT.name}/ws")
async def chat(socket: WebSocket) -> None:
    gateway: Gateway = socket.app.state.gateway
    authorization, subprotocol = _offered(socket)
    await socket.accept(subprotocol)
    try:
        claims = await gateway.verifier.claims(authorization, policies.CHAT)
        assert claims  # noqa: S101  the policy requires a token
    except ProblemError as error:
        await socket.close(CODES.get(error.status, TRY_AGAIN_LATER), error.detail)
        return
    with suppress(WebSocketDisconnect):
        await _talk(gateway, socket, claims)


async def _talk(gateway: Gateway, socket: WebSocket, claims: Claims) -> None:
    """Reads on while it answers, so that a client that hangs up is noticed."""
    questions: asyncio.Queue[str] = asyncio.Queue(WAITING_QUESTIONS)
    answering = asyncio.create_task(_answer_all(gateway, socket, claims, questions))
    reading = asyncio.create_task(_read_all(socket, questions))
    try:
        await asyncio.wait((answering, reading), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (answering, reading):
            task.cancel()
        await asyncio.gather(answering, reading, return_exceptions=True)


async def _read_all(socket: WebSocket, questions: asyncio.Queue[str]) -> None:
    while True:
        await questions.put(await socket.receive_text())


async def _answer_all(gateway: Gateway, socket: WebSocket, claims: Claims, questions: asyncio.Queue[str]) -> None:
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                asked = await questions.get()
        except TimeoutError:
            await socket.close(GOING_AWAY, "nothing was said for a while")
            return
        try:
            await _answer(gateway, socket, claims, asked)
        except ProblemError as error:
            body = problem.document(error.status, error.detail, error.extra)
            await _send(socket, "problem", {**body, **(error.headers or {})})


async def _answer(gateway: Gateway, socket: WebSocket, claims: Claims, text: str) -> None:
    """Raises ProblemError for a question that is refused."""
    deadline.clear()
    deadline.within(policies.CHAT.timeout)
    try:
        asked = question(ChatSaid.model_validate_json(text), claims.user)
    except ValidationError as error:
        raise ProblemError(422, "the question does not fit its schema") from error
    await gateway.limiter.take(policies.CHAT, claims.user, claims.tier)
    try:
        async with aclosing(answer(gateway.edges.chat, asked, policies.CHAT.timeout)) as pieces:
            async for piece in pieces:
                for name, data in _parsed(piece):
                    await _send(socket, name, data)
    except RefusedError as refusal:
        raise ProblemError(refusal.status, "chat-svc refused the question") from refusal


async def _send(socket: WebSocket, event: str, data: Any) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await socket.send_text(to_json({"event": event, "data": data}).decode())


def _parsed(events: bytes) -> list[tuple[str, Any]]:
    fields = [
        dict(line.split(": ", 1) for line in event.split("\n") if ": " in line)
        for event in events.decode().split("\n\n")
        if event
    ]
    return [(field["event"], from_json(field["data"])) for field in fields if field.keys() >= {"event", "data"}]


def _offered(socket: WebSocket) -> tuple[str | None, str | None]:
    """The authorization, and the subprotocol to agree on."""
    protocols = [part.strip() for part in socket.headers.get("sec-websocket-protocol", "").split(",")]
    tokens = [part.removeprefix(TOKEN_PREFIX) for part in protocols if part.startswith(TOKEN_PREFIX)]
    authorization = f"Bearer {tokens[0]}" if tokens else socket.headers.get("authorization")
    return authorization, PROTOCOL if PROTOCOL in protocols else None
