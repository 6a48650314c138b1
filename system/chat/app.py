"""The service: settings from the environment, routes, what is made at its start."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic_core import to_json

from system.chat import states
from system.chat.conversation import Conversation, Delta, Done, Patience
from system.chat.provider import Anthropic
from system.chat.said import Said, SessionId
from system.chat.sessions import Sessions
from system.chat.websocket import converse
from system.kit import app, decisions
from system.kit import states as kit_states
from system.kit.breaker import Breaker, CircuitBreaker, Consecutive, Unguarded
from system.kit.client import UnavailableError
from system.kit.decisions import Decisions
from system.kit.meter import Meter
from system.kit.problem import ProblemError
from system.kit.settings import Settings as KitSettings
from system.kit.store import Store

SERVICE = "chat-svc"
EDGE = "chat-svc->llm-emulator"
SYSTEM_PROMPT = "You help the customers of an outdoor, kitchen and hobby shop. Answer in a few friendly sentences."


class Settings(KitSettings):
    """Times in seconds, prices in US dollars for a million tokens. Without `broker_url` no decision is told."""

    port: int = 3004
    store_url: str
    broker_url: str = ""
    anthropic_base_url: str = "https://api.anthropic.com"
    anthropic_api_key: str
    anthropic_model: str = "claude-haiku-4-5"
    chat_max_tokens: int = 512
    chat_total_seconds: float = 55.0
    chat_first_seconds: float = 10.0
    chat_between_seconds: float = 10.0
    chat_retries: int = 2
    session_seconds: int = 24 * 3600
    session_turns: int = 40
    breaker_enabled: bool = True
    breaker_ai_failures: int = 3
    breaker_reset_seconds: float = 30.0
    input_price: float = 1.0
    output_price: float = 5.0


def create(settings: Settings) -> FastAPI:
    model = Anthropic(
        api_key=settings.anthropic_api_key,
        base_url=settings.anthropic_base_url,
        model=settings.anthropic_model,
        max_tokens=settings.chat_max_tokens,
        system=SYSTEM_PROMPT,
    )
    store = Store("chat-svc->store", settings.store_url)
    sessions = Sessions(store, kept=settings.session_turns, expiry=settings.session_seconds)
    meter = Meter(EDGE, model.name, settings.input_price, settings.output_price)
    meter.announce()
    bus = decisions.bus(SERVICE, settings.broker_url)
    told = Decisions(bus)
    conversation = Conversation(
        model,
        sessions,
        _breaker(settings),
        meter,
        Patience(
            total=settings.chat_total_seconds,
            first=settings.chat_first_seconds,
            between=settings.chat_between_seconds,
            retries=settings.chat_retries,
        ),
        decisions=told,
    )

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        async with bus or nullcontext(), told:
            yield
        await model.close()
        await store.close()

    contract = kit_states.routers(settings, states.states(sessions), states.messages(sessions))
    return app.create(SERVICE, settings, routers=[_routes(conversation, sessions), *contract], lifespan=life)


def _breaker(settings: Settings) -> Breaker:
    if not settings.breaker_enabled:
        return Unguarded(EDGE)
    return CircuitBreaker(EDGE, Consecutive(settings.breaker_ai_failures), settings.breaker_reset_seconds)


def _routes(conversation: Conversation, sessions: Sessions) -> APIRouter:
    routes = APIRouter()

    @routes.post("/chat", response_model=None, responses={200: {"content": {"text/event-stream": {}}}})
    async def chat(said: Said, request: Request) -> Response:
        """Events `delta` {text} and one `done`; in one piece for who accepts JSON only."""
        answer = conversation.answer(said.sessionId or uuid.uuid4().hex, said.message)
        if request.headers.get("accept", "").startswith("application/json"):
            return JSONResponse(await _whole(answer))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_events(answer), media_type="text/event-stream", headers=headers)

    @routes.delete("/chat/sessions/{session}", status_code=204)
    async def forget(session: SessionId) -> None:
        """Also where there is none. The gateway has no way here."""
        try:
            await sessions.forget(session)
        except UnavailableError as error:
            raise ProblemError(503, "sessions cannot be reached now", headers={"retry-after": "1"}) from error

    @routes.websocket("/chat/ws")
    async def chat_by_socket(socket: WebSocket) -> None:
        await converse(socket, conversation)

    return routes


async def _events(answer: AsyncGenerator[Delta | Done, None]) -> AsyncIterator[bytes]:
    async with aclosing(answer):
        async for event in answer:
            yield b"event: %s\ndata: %s\n\n" % (type(event).__name__.lower().encode(), to_json(event))


async def _whole(answer: AsyncGenerator[Delta | Done, None]) -> dict[str, Any]:
    text = ""
    async with aclosing(answer):
        async for event in answer:
            if isinstance(event, Done):
                return {"text": text, **asdict(event)}
            text += event.text
    raise AssertionError("an answer without an end")
