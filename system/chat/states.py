"""The states of chat-svc, and what it tells of an answer, for the verification of contracts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from fastapi import FastAPI

from system.chat.conversation import Conversation, Patience
from system.chat.provider import End, Turn
from system.chat.sessions import Sessions
from system.kit.breaker import Unguarded
from system.kit.decisions import Decisions
from system.kit.llm import Usage
from system.kit.meter import Meter
from system.kit.states import Captured, Make, Params, State

EDGE = "chat-svc->llm-emulator"


class _Model:
    name = "pact"

    async def stream(self, turns: Sequence[Turn]) -> AsyncGenerator[str | End, None]:
        yield f"You said {len(turns)} things."
        yield End("end_turn", Usage(3, 5))


def states(sessions: Sessions) -> Mapping[str, State]:
    async def remember(_app: FastAPI, params: Params) -> None:
        await sessions.add(str(params["sessionId"]), [Turn("user", "Hello"), Turn("assistant", "Hello to you")])

    async def forget(_app: FastAPI, params: Params) -> None:
        await sessions.forget(str(params["sessionId"]))

    return {"a session in which something was said": State(remember, forget)}


def messages(sessions: Sessions) -> Mapping[str, Make]:
    async def answered(_app: FastAPI) -> bytes:
        captured = Captured()
        async with Decisions(captured) as told:
            meter = Meter(EDGE, _Model.name, 0, 0)
            talk = Conversation(_Model(), sessions, Unguarded(EDGE), meter, Patience(), decisions=told)
            async with aclosing(talk.answer("pact-decision", "Hello")) as events:
                async for _ in events:
                    pass
        await sessions.forget("pact-decision")
        return captured.only

    return {"an answer in a chat": answered}
