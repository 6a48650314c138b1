"""A chat answer as it comes from chat-svc: whole events, each as soon as it is there, and always with an end."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from system.kit import signals, telemetry
from system.kit.client import CLIENT_ERROR, Edge, StreamAnswer, UnavailableError
from system.kit.problem import ProblemError

PATH = "/chat"
END_OF_EVENT = b"\n\n"
LAST_EVENT = b"event: done"
INSTEAD = "The assistant is not available right now. Please try again in a moment."


class ChatSaid(BaseModel):
    model_config = ConfigDict(extra="forbid")

    message: str = Field(min_length=1, max_length=8000)
    sessionId: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")


@dataclass(frozen=True)
class Question:
    message: str
    session: str


class RefusedError(Exception):
    """chat-svc did not like the question: its answer, to be handed on."""

    def __init__(self, status: int, content_type: str, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.content_type = content_type
        self.body = body


def question(said: ChatSaid, user: str) -> Question:
    """Raises ProblemError for a session of somebody else's."""
    session = said.sessionId or _session_prefix(user) + uuid.uuid4().hex
    if not session.startswith(_session_prefix(user)):
        raise ProblemError(404, "there is no such session")
    return Question(said.message, session)


async def answer(edge: Edge, asked: Question, timeout: float) -> AsyncGenerator[bytes, None]:
    """Server-sent events, some at a time. Raises RefusedError, before the first."""
    body = {"message": asked.message, "sessionId": asked.session}
    started = False
    try:
        async with edge.stream("POST", PATH, timeout=timeout, json=body) as stream:
            if stream.status >= CLIENT_ERROR:
                raise await _refused(stream)
            ended = False
            async for events in whole_events(stream.chunks()):
                started = True
                yield events
                ended = ended or LAST_EVENT in events
            if not ended:
                raise UnavailableError(edge.name, "connection", "the stream ended too early")
    except UnavailableError as error:
        yield _ending(edge, error, asked.session, started=started)


async def whole_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Regroups pieces so that each ends where an event ends. What is left of a half event at the end is dropped."""
    rest = b""
    async for chunk in chunks:
        events, end, rest = (rest + chunk).rpartition(END_OF_EVENT)
        if end:
            yield events + end


def _session_prefix(user: str) -> str:
    """Begins the id of each of the user's sessions, so that nobody can name another's."""
    return hashlib.sha256(user.encode()).hexdigest()[:16] + "-"


async def _refused(stream: StreamAnswer) -> RefusedError:
    body = b"".join([chunk async for chunk in stream.chunks()])
    return RefusedError(stream.status, stream.headers.get("content-type", "application/problem+json"), body)


def _ending(edge: Edge, error: UnavailableError, session: str, *, started: bool) -> bytes:
    """What stands in for the events that did not come."""
    signals.FALLBACK.labels(edge.name, error.reason).inc()
    telemetry.logger("chat").warning(signals.LOG_FALLBACK, edge=edge.name, reason=error.reason)
    done = {"sessionId": session, "source": "fallback", "stop_reason": "cut" if started else "fallback"}
    return (b"" if started else _event("delta", {"text": INSTEAD})) + _event("done", done)


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), to_json(data))
