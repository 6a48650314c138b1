"""Anthropic's Messages API as published, https://docs.anthropic.com/en/api/messages, as far as it is used here."""

from __future__ import annotations

from typing import Any

import streams
from pact import Pact, match

MODEL = "claude-haiku-4-5"
# A key goes with the request; the one of the verification is added by whoever runs it.
KEY = "emulator"
HEADERS = {
    "authorization": match.regex(f"Bearer {KEY}", regex="^Bearer .+$"),
    "anthropic-version": match.regex("2023-06-01", regex=r"^\d{4}-\d\d-\d\d$"),
}
USAGE = {"input_tokens": match.int(12), "output_tokens": match.int(8)}


def form(pact: Pact, what: str, request: dict[str, Any], filled: dict[str, Any]) -> None:
    """`what` is answered by a call of the tool that the request offers."""
    block = {
        "type": "tool_use",
        "id": match.regex("toolu_01A09q90qw90lq917835lq9", regex="^toolu_[A-Za-z0-9_]+$"),
        "name": "fill_form",
        "input": filled,
    }
    (
        pact.upon_receiving(what)
        .with_request("POST", "/v1/messages")
        .with_headers(HEADERS)
        .with_body(request, content_type="application/json")
        .will_respond_with(200)
        .with_body(
            {
                "id": match.regex("msg_013Zva2CMHLNnjNjJKqJ2EF", regex="^msg_[A-Za-z0-9_]+$"),
                "type": "message",
                "role": "assistant",
                "model": match.str(MODEL),
                "content": [block],
                "stop_reason": "tool_use",
                "usage": USAGE,
            },
            content_type="application/json",
        )
    )


def request(instructions: str, text: str, tool: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A form to be filled in, as the kit asks for it. The words are no part of the contract, its keys are."""
    return {
        "model": match.str(MODEL),
        "max_tokens": match.int(1024),
        "system": match.str(instructions),
        "messages": [{"role": "user", "content": match.str(text)}],
        "tools": [{"name": "fill_form", "description": match.str(tool), "input_schema": schema}],
        "tool_choice": {"type": "tool", "name": "fill_form", "disable_parallel_tool_use": True},
    }


def stream() -> tuple[str, dict[str, Any]]:
    """The example of a streamed answer, and the order and shape of its events; a ping may come anywhere."""
    message = {
        "id": "msg_013Zva2CMHLNnjNjJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 1},
    }
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Birch."}}
    example = streams.text(
        ("message_start", {"type": "message_start", "message": message}),
        (
            "content_block_start",
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
        ("ping", {"type": "ping"}),
        ("content_block_delta", delta),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        (
            "message_delta",
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 8},
            },
        ),
        ("message_stop", {"type": "message_stop"}),
    )
    ping = streams.any_of(streams.event("ping", '"type": ?"ping"'))
    parts = (
        streams.event("message_start", '"message": ?\\{', '"id": ?"msg_', '"input_tokens": ?\\d'),
        streams.event("content_block_start", '"content_block": ?\\{'),
        streams.some(
            streams.any_of(streams.event("ping", ""))
            + streams.event("content_block_delta", '"text_delta"', '"text": ?"')
        ),
        streams.event("content_block_stop", ""),
        streams.event("message_delta", '"stop_reason": ?"[a-z_]+"', '"output_tokens": ?\\d'),
        streams.event("message_stop", ""),
    )
    return example, streams.rule(*(part + ping for part in parts))
