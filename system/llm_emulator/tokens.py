"""Tokens of our own: short pieces of text that join to the text again.

Not the provider's tokenizer, which is not public; about as many tokens for English prose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PIECE = re.compile(r"\s*[^\W\d_]{1,6}|\s*\d{1,3}|\s*[\W_]|\s+")
# What the provider adds around each message, and for a system prompt or tools at all.
PER_MESSAGE = 4
# An image costs by its size; one size will do.
PER_IMAGE = 1200


def split(text: str) -> list[str]:
    return _PIECE.findall(text)


def count(text: str) -> int:
    return len(split(text))


def count_input(messages: Sequence[Mapping[str, Any]], system: Any = None, tools: Any = None) -> int:
    """Tokens of a request's messages, system prompt and tools."""
    total = sum(PER_MESSAGE + _of_content(message["content"]) for message in messages)
    if system:
        total += PER_MESSAGE + _of_content(system)
    if tools:
        total += PER_MESSAGE + count(json.dumps(tools))
    return total


def _of_content(content: Any) -> int:
    if isinstance(content, str):
        return count(content)
    return sum(_of_block(block) for block in content)


def _of_block(block: Mapping[str, Any]) -> int:
    if block["type"] in ("image", "document"):
        return PER_IMAGE
    if block["type"] == "text":
        return count(str(block["text"]))
    return count(json.dumps({key: value for key, value in block.items() if key != "cache_control"}))
