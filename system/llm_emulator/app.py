"""The service: settings from the environment, routes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI

from system.kit import app
from system.kit.settings import Settings as KitSettings
from system.llm_emulator import admin
from system.llm_emulator.faults import Faults
from system.llm_emulator.latency import Latency
from system.llm_emulator.limits import Limits
from system.llm_emulator.protocol import MAX_BODY
from system.llm_emulator.service import Emulator


class Settings(KitSettings):
    """Times in seconds; limits a minute for each key."""

    port: int = 3009
    # The API itself refuses what is larger, in its own words.
    body_limit_bytes: int = MAX_BODY + 1_000_000
    llm_first_token_seconds: float = 0.03
    llm_token_seconds: float = 0.002
    llm_jitter: float = 0.2
    llm_requests_per_minute: int = 60_000
    llm_tokens_per_minute: int = 60_000_000
    admin_token: str = ""


def create(settings: Settings) -> FastAPI:
    faults = Faults()
    emulator = Emulator(
        Latency(settings.llm_first_token_seconds, settings.llm_token_seconds, settings.llm_jitter),
        Limits(settings.llm_requests_per_minute, settings.llm_tokens_per_minute),
        faults,
    )
    routers = [_messages(emulator)]
    if settings.admin_token:
        routers.append(admin.router(faults, settings.admin_token))
    return app.create("llm-emulator", settings, routers=routers)


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}, "text/event-stream": {}}},
    "default": {"description": "an error as the provider tells it", "content": {"application/json": {}}},
}


def _messages(emulator: Emulator) -> APIRouter:
    routes = APIRouter()
    for path, answer in (("/v1/messages", emulator.messages), ("/v1/messages/count_tokens", emulator.count_tokens)):
        routes.add_api_route(path, answer, methods=["POST"], response_model=None, responses=_RESPONSES)
    every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    routes.add_api_route(
        "/v1/{path:path}", emulator.unknown, methods=every, response_model=None, include_in_schema=False
    )
    return routes
