"""Questions to a language model whose answers have a fixed shape: a form that it fills by calling a tool.

One answer takes as many attempts as its deadline allows, behind a breaker. What does not fit the form is no
answer: the provider of an AI edge that cannot be understood is as good as gone.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import dataclass
from typing import TypeVar

import anthropic
from pydantic import BaseModel, ConfigDict

from system.kit import deadline, signals
from system.kit.breaker import Breaker, CircuitBreaker, Consecutive, OpenError, Unguarded
from system.kit.client import RefusedError, UnavailableError
from system.kit.llm import ProviderError, Usage, connected, translated
from system.kit.meter import Meter
from system.kit.settings import Settings

TOOL = "fill_form"
# Of the caller's deadline this much is left for telling how it ended.
RESERVE = 0.2


class Form(BaseModel):
    """The docstring and the field descriptions of a form are what the model is told about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


F = TypeVar("F", bound=Form)


class FormSettings(Settings):
    """Times in seconds, prices in US dollars for a million tokens. `llm_seconds` are for all attempts together."""

    anthropic_base_url: str = "https://api.anthropic.com"
    anthropic_api_key: str
    anthropic_model: str = "claude-haiku-4-5"
    llm_max_tokens: int = 1024
    llm_seconds: float = 20.0
    llm_attempt_seconds: float = 10.0
    llm_retries: int = 2
    llm_backoff_seconds: float = 0.5
    breaker_enabled: bool = True
    breaker_ai_failures: int = 3
    breaker_reset_seconds: float = 30.0
    input_price: float = 1.0
    output_price: float = 5.0


@dataclass(frozen=True)
class Patience:
    """Seconds: for an answer, for one attempt, before the second attempt."""

    total: float
    attempt: float
    retries: int
    backoff: float


class Filler:
    """`edge` is "consumer->provider"."""

    def __init__(self, edge: str, settings: FormSettings, *, falls_back: bool) -> None:
        self.edge = edge
        self.name = settings.anthropic_model
        self._max_tokens = settings.llm_max_tokens
        self._patience = Patience(
            settings.llm_seconds, settings.llm_attempt_seconds, settings.llm_retries, settings.llm_backoff_seconds
        )
        self._meter = Meter(edge, self.name, settings.input_price, settings.output_price, falls_back=falls_back)
        self._meter.announce()
        self._breaker = _breaker(edge, settings)
        self._client = connected(settings.anthropic_api_key, settings.anthropic_base_url)

    async def fill(self, form: type[F], *, instructions: str, text: str) -> F:
        """Raises UnavailableError; RefusedError where the model is there and will not answer this."""
        exchange = self._meter.exchange()
        try:
            filled, usage = await self._guarded(form, instructions, text)
        except ProviderError as error:
            exchange.failed(error.reason, str(error))
            kind = RefusedError if error.alive and not error.passing else UnavailableError
            raise kind(self.edge, error.reason, str(error), error.retry_after or 0.0) from error
        exchange.ended(usage)
        return filled

    async def close(self) -> None:
        await self._client.close()

    async def _guarded(self, form: type[F], instructions: str, text: str) -> tuple[F, Usage]:
        """The breaker counts answers, not attempts. Raises ProviderError."""
        try:
            permit = self._breaker.permit()
        except OpenError as error:
            raise ProviderError("open", str(error), passing=False, retry_after=error.retry_after) from error
        try:
            filled = await self._retried(form, instructions, text)
        except ProviderError as error:
            permit.success() if error.alive else permit.failure()
            raise
        except BaseException:
            permit.abandon()
            raise
        permit.success()
        return filled

    async def _retried(self, form: type[F], instructions: str, text: str) -> tuple[F, Usage]:
        ends = time.monotonic() + deadline.remaining(self._patience.total) - RESERVE
        for attempt in itertools.count():
            try:
                return await self._attempt(form, instructions, text, ends)
            except ProviderError as error:
                wait = self._wait(error, attempt)
                if attempt >= self._patience.retries or not error.passing or time.monotonic() + wait >= ends:
                    raise
                signals.EDGE_RETRIES.labels(self.edge).inc()
                await asyncio.sleep(wait)
        raise AssertionError("an attempt without an end")

    async def _attempt(self, form: type[F], instructions: str, text: str, ends: float) -> tuple[F, Usage]:
        try:
            async with deadline.Timeout(min(self._patience.attempt, ends - time.monotonic())):
                with translated():
                    message = await self._asked(form, instructions, text)
                    return _filled(form, message), Usage(message.usage.input_tokens, message.usage.output_tokens)
        except TimeoutError as error:
            raise ProviderError("timeout", "the model kept silent for too long") from error

    async def _asked(self, form: type[Form], instructions: str, text: str) -> anthropic.types.Message:
        tool: anthropic.types.ToolParam = {
            "name": TOOL,
            "description": form.__doc__ or "",
            "input_schema": form.model_json_schema(),
        }
        return await self._client.messages.create(
            model=self.name,
            max_tokens=self._max_tokens,
            system=instructions,
            messages=[{"role": "user", "content": text}],
            tools=[tool],
            tool_choice={"type": "tool", "name": TOOL, "disable_parallel_tool_use": True},
        )

    def _wait(self, error: ProviderError, attempt: int) -> float:
        """Seconds before the next attempt: what the provider said, else longer each time, with jitter."""
        if error.retry_after is not None:
            return error.retry_after
        return self._patience.backoff * 2.0**attempt * random.uniform(0.5, 1)  # noqa: S311 - jitter


def _filled(form: type[F], message: anthropic.types.Message) -> F:
    """Raises ValueError for a message that does not fill the form."""
    for block in message.content:
        if block.type == "tool_use" and block.name == TOOL:
            return form.model_validate(block.input)
    raise ValueError(f"no form was filled: {message.stop_reason}")


def _breaker(edge: str, settings: FormSettings) -> Breaker:
    if not settings.breaker_enabled:
        return Unguarded(edge)
    return CircuitBreaker(edge, Consecutive(settings.breaker_ai_failures), settings.breaker_reset_seconds)
