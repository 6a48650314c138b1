"""What the saga asks of other services, and how each of these is undone. All of it may be done twice."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

from pydantic import BaseModel

from system.content.documents import Document
from system.content.settings import ContentSettings
from system.kit.breaker import Breaker, CircuitBreaker, Consecutive, Unguarded
from system.kit.client import CLIENT_ERROR, Edge, RefusedError, UnavailableError

Verdict = Literal["allowed", "refused", "held"]

SERVICE = "content-svc"
NOT_FOUND = 404
# Of the text, search-svc takes and needs no more.
INDEXED_LENGTH = 10_000
# As many sagas speak to a language model at a time.
GENERATIONS = 50


class Generated(BaseModel):
    text: str
    source: Literal["model", "fallback"]
    stop_reason: str


class Moderated(BaseModel):
    verdict: Verdict


class Parts:
    """Raises UnavailableError where trying again may help, RefusedError where the provider does not want it."""

    def __init__(self, settings: ContentSettings) -> None:
        self._settings = settings
        ai = settings.breaker_ai_failures
        self.users = _edge("user-svc", settings.user_url, settings, settings.breaker_failures)
        self.chat = _edge("chat-svc", settings.chat_url, settings, ai, ai=True, concurrency=GENERATIONS)
        self.moderation = _edge("moderation-svc", settings.moderation_url, settings, ai, ai=True, held=True)
        self.search = _edge("search-svc", settings.search_url, settings, ai, ai=True)

    @property
    def edges(self) -> tuple[Edge, ...]:
        return self.users, self.chat, self.moderation, self.search

    async def create(self, document: Document) -> None:
        body = {"title": document.title, "body": document.prompt}
        await self._done(self.users, "PUT", _record(document), self._settings.user_timeout_seconds, body)

    async def generate(self, document: Document) -> str:
        """The text."""
        # Or the model would answer to what an earlier attempt left behind. Where that cannot be reached now, it cannot
        # be remembered either.
        with suppress(UnavailableError):
            await self.ungenerate(document)
        said = {"message": document.prompt, "sessionId": str(document.id)}
        headers = {"accept": "application/json"}
        timeout = self._settings.chat_timeout_seconds
        answer = await self.chat.read(Generated, "POST", "/chat", timeout=timeout, json=said, headers=headers)
        if answer.source == "fallback" or answer.stop_reason == "cut":
            raise UnavailableError(self.chat.name, "status", f"{answer.source}, {answer.stop_reason}")
        return answer.text

    async def check(self, document: Document) -> Verdict:
        """What a person says of it counts, once somebody has: whoever asks again finds out."""
        timeout = self._settings.moderation_timeout_seconds
        body = {"contentId": str(document.id), "text": document.body}
        answer = await self.moderation.read(Moderated, "POST", "/check", timeout=timeout, json=body, idempotent=True)
        return answer.verdict

    async def index(self, document: Document) -> None:
        body = {"title": document.title, "text": (document.body or "")[:INDEXED_LENGTH]}
        await self._done(self.search, "PUT", _item(document), self._settings.search_timeout_seconds, body)

    async def uncreate(self, document: Document) -> None:
        await self._done(self.users, "DELETE", _record(document), self._settings.user_timeout_seconds)

    async def ungenerate(self, document: Document) -> None:
        path = f"/chat/sessions/{document.id}"
        await self._done(self.chat, "DELETE", path, self._settings.user_timeout_seconds)

    async def unindex(self, document: Document) -> None:
        path = f"{_item(document)}?for_good=true"
        await self._done(self.search, "DELETE", path, self._settings.search_timeout_seconds)

    async def has_record(self, document: Document) -> bool:
        return await self._there(self.users, _record(document), self._settings.user_timeout_seconds)

    async def has_item(self, document: Document) -> bool:
        return await self._there(self.search, _item(document), self._settings.search_timeout_seconds)

    async def _done(self, edge: Edge, method: str, path: str, timeout: float, json: Any = None) -> None:
        answer = await edge.call(method, path, timeout=timeout, json=json, idempotent=True)
        if answer.status >= CLIENT_ERROR:
            kind = RefusedError if answer.status < 500 else UnavailableError  # noqa: PLR2004
            raise kind(edge.name, "status", str(answer.status))

    async def _there(self, edge: Edge, path: str, timeout: float) -> bool:
        answer = await edge.call("GET", path, timeout=timeout, idempotent=True)
        if answer.status >= CLIENT_ERROR and answer.status != NOT_FOUND:
            raise UnavailableError(edge.name, "status", str(answer.status))
        return answer.status != NOT_FOUND


def _edge(
    provider: str,
    url: str,
    settings: ContentSettings,
    failures: int,
    *,
    ai: bool = False,
    concurrency: int = 200,
    held: bool = False,
) -> Edge:
    """`held`: without the provider there is something else to do than to fail."""
    name = f"{SERVICE}->{provider}"
    breaker: Breaker = (
        CircuitBreaker(name, Consecutive(failures), settings.breaker_reset_seconds)
        if settings.breaker_enabled
        else Unguarded(name)
    )
    return Edge(name, url, breaker, ai=ai, concurrency=concurrency, falls_back=held)


def _record(document: Document) -> str:
    return f"/internal/users/{document.user_id}/content/{document.id}"


def _item(document: Document) -> str:
    return f"/items/{document.id}"
