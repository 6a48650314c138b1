"""The conversation over a WebSocket: a frame a message in, a frame an event out.

In: `{"message": "...", "sessionId": "..."}`. Out: `{"type": "delta", "text": "..."}` and, at the
end of each answer, `{"type": "done", ...}`. A message that comes during an answer waits for its end.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing, suppress
from dataclasses import asdict

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.websockets import WebSocket, WebSocketDisconnect

from system.chat.conversation import Conversation
from system.chat.said import Said

NORMAL, UNREADABLE, TOO_SLOW = 1000, 1007, 1008
IDLE_SECONDS = 300.0
# A client that does not read for so long is let go: its events would pile up here.
SEND_SECONDS = 10.0


class _End(Exception):
    """Ends the connection with a close code and a reason of at most 123 bytes."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:120].decode(errors="ignore")


async def converse(socket: WebSocket, conversation: Conversation) -> None:
    """Until the client leaves, says nothing for `IDLE_SECONDS`, or sends what cannot be read."""
    await socket.accept()
    session = uuid.uuid4().hex
    receiving = asyncio.create_task(_received(socket))
    try:
        while True:
            said = await receiving
            session = said.sessionId or session
            receiving = asyncio.create_task(_received(socket))
            answering = asyncio.create_task(_answer(socket, conversation, session, said.message))
            await _unless_gone(answering, receiving)
    except WebSocketDisconnect:
        return
    except _End as end:
        with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
            async with asyncio.timeout(SEND_SECONDS):
                await socket.close(end.code, end.reason)
    finally:
        receiving.cancel()


async def _received(socket: WebSocket) -> Said:
    """The next message. Raises WebSocketDisconnect, _End."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            frame = await socket.receive()
    except TimeoutError:
        raise _End(NORMAL, "nothing was said for a long time") from None
    if frame["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(frame.get("code", NORMAL))
    try:
        return Said.model_validate_json(frame.get("text") or b"")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _End(UNREADABLE, f"{where}: {first['msg']}" if where else first["msg"]) from None


async def _answer(socket: WebSocket, conversation: Conversation, session: str, message: str) -> None:
    async with aclosing(conversation.answer(session, message)) as events:
        async for event in events:
            frame = {"type": type(event).__name__.lower(), **asdict(event)}
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await socket.send_text(to_json(frame).decode())
            except TimeoutError:
                raise _End(TOO_SLOW, "what was sent is not read") from None


async def _unless_gone(answering: asyncio.Task[None], receiving: asyncio.Task[Said]) -> None:
    """Waits for the answer. Who leaves, or sends nonsense meanwhile, is not answered to the end."""
    try:
        await asyncio.wait({answering, receiving}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done() and receiving.exception() is not None:
            answering.cancel()
            await asyncio.wait({answering})
            receiving.result()
        await answering
    finally:
        answering.cancel()
