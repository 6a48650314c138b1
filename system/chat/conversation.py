"""One answer in a conversation: history, the model with retries and a deadline, and an end in every case."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Literal

from system.chat.provider import End, LanguageModel, Turn
from system.chat.sessions import Sessions
from system.kit import deadline
from system.kit.breaker import Breaker, OpenError, Permit
from system.kit.client import UnavailableError
from system.kit.decisions import CHATTED, Decisions
from system.kit.llm import ProviderError, Usage
from system.kit.meter import Meter

FALLBACK_TEXT = "I cannot answer at the moment. Please try again in a minute."
CUT = "cut"
FALLBACK = "fallback"
# By these a model says that it has said everything.
ENDED = frozenset({"end_turn", "stop_sequence"})
# Of an answer to whose end nobody listened.
LEFT = "left"
# How whole an answer is that did not end by itself.
PART = 0.5
# Of the caller's deadline this much is left for telling how it ended.
RESERVE = 0.2


@dataclass(frozen=True)
class Delta:
    text: str


@dataclass(frozen=True)
class Done:
    """The last event of every answer. `stop_reason` is the model's, or `cut`, or `fallback`."""

    sessionId: str
    source: Literal["model", "fallback"]
    stop_reason: str
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class Patience:
    """Seconds: for the whole answer, for its first piece, between two pieces. `retries` before the first piece."""

    total: float = 55.0
    first: float = 10.0
    between: float = 10.0
    retries: int = 2
    backoff: float = 0.5


class Conversation:
    def __init__(
        self,
        model: LanguageModel,
        sessions: Sessions,
        breaker: Breaker,
        meter: Meter,
        patience: Patience,
        *,
        decisions: Decisions,
    ) -> None:
        self._model = model
        self._sessions = sessions
        self._breaker = breaker
        self._meter = meter
        self._patience = patience
        self._decisions = decisions

    async def answer(self, session: str, message: str) -> AsyncGenerator[Delta | Done, None]:
        """Deltas, then one Done. Raises nothing for the model's or the store's sake."""
        characters, done = 0, Done(session, "model", LEFT)
        try:
            async with aclosing(self._answer(session, message)) as events:
                async for event in events:
                    if isinstance(event, Done):
                        done = event
                    else:
                        characters += len(event.text)
                    yield event
        finally:
            if characters:
                self._tell(message, characters, done)

    def _tell(self, message: str, characters: int, done: Done) -> None:
        """Lengths, and how it ended: what was said is nobody else's business."""
        self._decisions.tell(
            CHATTED,
            model=self._model.name if done.source == "model" else FALLBACK,
            input={"sessionId": done.sessionId, "characters": len(message)},
            output={
                "characters": characters,
                "source": done.source,
                "stopReason": done.stop_reason,
                "tokens": {"input": done.usage.input_tokens, "output": done.usage.output_tokens},
            },
            confidence=_wholeness(done),
        )

    async def _answer(self, session: str, message: str) -> AsyncGenerator[Delta | Done, None]:
        ends = time.monotonic() + deadline.remaining(self._patience.total) - RESERVE
        asked = Turn("user", message)
        turns = [*await self._history(session), asked]
        said = ""
        exchange = self._meter.exchange()
        try:
            async with aclosing(self._guarded(turns, ends)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, End):
                        exchange.ended(piece.usage)
                        await self._remember(session, [asked, Turn("assistant", said)])
                        yield Done(session, "model", piece.stop_reason, piece.usage)
                        return
                    exchange.heard()
                    said += piece
                    yield Delta(piece)
        except ProviderError as error:
            exchange.failed(error.reason, str(error))
        if said:
            yield Done(session, "model", CUT)
            return
        yield Delta(FALLBACK_TEXT)
        yield Done(session, "fallback", FALLBACK)

    async def _guarded(self, turns: Sequence[Turn], ends: float) -> AsyncGenerator[str | End, None]:
        """The breaker counts exchanges, not attempts: one unlucky user does not open it. Raises ProviderError."""
        permit = _OneWord(self._breaker)
        try:
            async with aclosing(self._retried(turns, ends)) as pieces:
                async for piece in pieces:
                    permit.success()
                    yield piece
        except ProviderError as error:
            permit.success() if error.alive else permit.failure()
            raise
        finally:
            permit.abandon()

    async def _retried(self, turns: Sequence[Turn], ends: float) -> AsyncGenerator[str | End, None]:
        """Tries again while nothing of an answer was heard and there is time. Raises ProviderError."""
        for attempt in itertools.count():
            heard = False
            try:
                async with aclosing(self._attempt(turns, ends)) as pieces:
                    async for piece in pieces:
                        heard = True
                        yield piece
                return
            except ProviderError as error:
                wait = self._wait(error, attempt)
                spent = attempt >= self._patience.retries or time.monotonic() + wait >= ends
                if heard or spent or not error.passing:
                    raise
                await asyncio.sleep(wait)

    async def _attempt(self, turns: Sequence[Turn], ends: float) -> AsyncGenerator[str | End, None]:
        limit = self._patience.first
        async with aclosing(self._model.stream(turns)) as pieces:
            while (piece := await _next(pieces, min(ends, time.monotonic() + limit))) is not None:
                limit = self._patience.between
                yield piece

    def _wait(self, error: ProviderError, attempt: int) -> float:
        """Seconds before the next attempt: what the provider said, else longer each time, with jitter."""
        if error.retry_after is not None:
            return error.retry_after
        return self._patience.backoff * 2.0**attempt * random.uniform(0.5, 1)  # noqa: S311 - jitter

    async def _history(self, session: str) -> list[Turn]:
        try:
            return await self._sessions.turns(session)
        except UnavailableError:
            return []

    async def _remember(self, session: str, turns: Sequence[Turn]) -> None:
        # Whoever is answered without a memory is still answered; the store's own log line says why.
        with suppress(UnavailableError):
            await self._sessions.add(session, turns)


def _wholeness(done: Done) -> float | None:
    """1 where the model ended its answer itself; None where it had no say."""
    if done.source == "fallback":
        return None
    return 1.0 if done.stop_reason in ENDED else PART


class _OneWord:
    """A breaker's permit of which only the first word counts: a first piece of text is proof enough of life."""

    def __init__(self, breaker: Breaker) -> None:
        try:
            self._permit: Permit | None = breaker.permit()
        except OpenError as error:
            raise ProviderError("open", str(error), passing=False) from error

    def success(self) -> None:
        if permit := self._take():
            permit.success()

    def failure(self) -> None:
        if permit := self._take():
            permit.failure()

    def abandon(self) -> None:
        if permit := self._take():
            permit.abandon()

    def _take(self) -> Permit | None:
        permit, self._permit = self._permit, None
        return permit


async def _next(pieces: AsyncIterator[str | End], until: float) -> str | End | None:
    """None at the end. Raises ProviderError when there is nothing at the monotonic time `until`."""
    try:
        async with asyncio.timeout(until - time.monotonic()):
            return await anext(pieces, None)
    except TimeoutError as error:
        # Not again: another attempt would cost the same patience.
        raise ProviderError("timeout", "the model kept silent for too long", passing=False) from error
