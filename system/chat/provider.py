"""The language model behind a Protocol: Anthropic's API, or whatever speaks it under `ANTHROPIC_BASE_URL`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import anthropic

from system.kit.llm import ProviderError, Usage, connected, translated


@dataclass(frozen=True)
class Turn:
    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class End:
    """The model has said everything."""

    stop_reason: str
    usage: Usage


class LanguageModel(Protocol):
    name: str

    def stream(self, turns: Sequence[Turn]) -> AsyncGenerator[str | End, None]:
        """Pieces of text as the model says them, then one End. Raises ProviderError."""


class Anthropic:
    """One attempt a call: whether to try again depends on the caller's deadline, which the SDK does not know."""

    def __init__(self, *, api_key: str, base_url: str, model: str, max_tokens: int, system: str) -> None:
        self.name = model
        self._max_tokens = max_tokens
        self._system = system
        self._client = connected(api_key, base_url)

    async def stream(self, turns: Sequence[Turn]) -> AsyncGenerator[str | End, None]:
        with translated():
            async with self._client.messages.stream(
                model=self.name, max_tokens=self._max_tokens, system=self._system, messages=_params(turns)
            ) as stream:
                async for text in stream.text_stream:
                    yield text
                yield _end(await stream.get_final_message())

    async def close(self) -> None:
        await self._client.close()


def _params(turns: Sequence[Turn]) -> list[anthropic.types.MessageParam]:
    return [
        {"role": "user", "content": turn.text} if turn.role == "user" else {"role": "assistant", "content": turn.text}
        for turn in turns
    ]


def _end(message: anthropic.types.Message) -> End:
    if message.stop_reason is None:
        raise ProviderError("connection", "the stream ended before the message did")
    return End(message.stop_reason, Usage(message.usage.input_tokens, message.usage.output_tokens))
