"""What chat-svc relies on in the language model, said by its own client code."""

from __future__ import annotations

import messages
import streams
from pact import match

from system.chat.app import SYSTEM_PROMPT
from system.chat.provider import Anthropic, End, Turn

CONSUMER = "chat-svc"
PROVIDER = "llm-emulator"


async def test_an_answer_comes_as_events_in_their_order(pact) -> None:
    example, rule = messages.stream()
    request = {
        "model": match.str(messages.MODEL),
        "max_tokens": match.int(512),
        "system": match.str(SYSTEM_PROMPT),
        "messages": [{"role": "user", "content": match.str("Which boots?")}],
        "stream": True,
    }
    (
        pact.upon_receiving("an answer, streamed")
        .with_request("POST", "/v1/messages")
        .with_headers(messages.HEADERS)
        .with_body(request, content_type="application/json")
        .will_respond_with(200)
        .with_body(example, streams.MEDIA_TYPE)
        .with_matching_rules(rule)
    )
    with pact.serve() as server:
        model = Anthropic(
            api_key=messages.KEY,
            base_url=str(server.url).rstrip("/"),
            model=messages.MODEL,
            max_tokens=512,
            system=SYSTEM_PROMPT,
        )
        *said, end = [piece async for piece in model.stream([Turn("user", "Which boots?")])]
        await model.close()
    assert said == ["Birch."]
    assert isinstance(end, End)
    assert (end.stop_reason, end.usage.output_tokens) == ("end_turn", 8)
