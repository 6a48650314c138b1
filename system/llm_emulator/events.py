"""A reply in the two shapes that the API sends: one message, or a stream of events."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

from system.llm_emulator.reply import Reply

# A delta carries this many tokens.
PER_DELTA = 3
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
Event = dict[str, Any]


def identifier(prefix: str) -> str:
    """An id such as `msg_01...` or `req_01...`, unique."""
    return f"{prefix}_01" + "".join(secrets.choice(_ALPHABET) for _ in range(22))


def message(reply: Reply, model: str) -> dict[str, Any]:
    return _envelope(model, reply.input_tokens, reply.output_tokens) | {
        "content": [_block(reply, reply.text)] if reply.text else [],
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
    }


def opening(reply: Reply, model: str) -> Iterator[Event]:
    """What comes before the first token."""
    yield {"type": "message_start", "message": _envelope(model, reply.input_tokens, 1)}
    yield {"type": "content_block_start", "index": 0, "content_block": _block(reply, None)}
    yield {"type": "ping"}


def deltas(reply: Reply) -> Iterator[tuple[Event, int]]:
    """Each delta with the number of its tokens."""
    for start in range(0, len(reply.pieces), PER_DELTA):
        pieces = reply.pieces[start : start + PER_DELTA]
        yield {"type": "content_block_delta", "index": 0, "delta": _delta(reply, "".join(pieces))}, len(pieces)


def closing(reply: Reply) -> Iterator[Event]:
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reply.stop_reason, "stop_sequence": reply.stop_sequence},
        "usage": {"output_tokens": reply.output_tokens},
    }
    yield {"type": "message_stop"}


def encode(event: Event) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _envelope(model: str, input_tokens: int, output_tokens: int) -> dict[str, Any]:
    return {
        "id": identifier("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
            "service_tier": "standard",
        },
    }


def _block(reply: Reply, content: str | None) -> dict[str, Any]:
    """The content block; empty, as it stands at the start of a stream, where `content` is None."""
    if reply.kind == "text":
        return {"type": "text", "text": content or ""}
    given = json.loads(content) if content and reply.stop_reason != "max_tokens" else {}
    return {"type": "tool_use", "id": identifier("toolu"), "name": reply.tool_name, "input": given}


def _delta(reply: Reply, piece: str) -> dict[str, str]:
    if reply.kind == "text":
        return {"type": "text_delta", "text": piece}
    return {"type": "input_json_delta", "partial_json": piece}
