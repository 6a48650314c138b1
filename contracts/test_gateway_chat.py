"""What api-gateway relies on in chat-svc, said by the gateway's own client code."""

from __future__ import annotations

import pytest
import streams
from pact import match

from system.gateway.conversation import Question, RefusedError, answer

CONSUMER = "api-gateway"
PROVIDER = "chat-svc"
DONE = {"sessionId": "pact-session", "source": "model", "stop_reason": "end_turn"}


async def test_an_answer_comes_in_pieces_and_has_an_end(pact, edge_to) -> None:
    (
        pact.upon_receiving("a message")
        .with_request("POST", "/chat")
        .with_body({"message": "Which boots?", "sessionId": "pact-session"}, content_type="application/json")
        .will_respond_with(200)
        .with_body(streams.text(("delta", {"text": "Birch "}), ("done", DONE)), streams.MEDIA_TYPE)
        .with_matching_rules(
            streams.rule(
                streams.some(streams.event("delta", '"text":"')),
                streams.event("done", '"sessionId":"pact-session"', '"source":"(model|fallback)"', '"stop_reason":"'),
            )
        )
    )
    with pact.serve() as server:
        edge = edge_to(str(server.url))
        events = b"".join([each async for each in answer(edge, Question("Which boots?", "pact-session"), 5)])
    assert b"Birch" in events
    assert events.count(b"event: done") == 1
    assert b"fallback" not in events


async def test_a_question_that_is_no_question_is_refused(pact, edge_to) -> None:
    (
        pact.upon_receiving("a message in a session that cannot be")
        .with_request("POST", "/chat")
        .with_body({"message": "Which boots?", "sessionId": "no/session"}, content_type="application/json")
        .will_respond_with(422)
        .with_body({"status": 422, "detail": match.str("the request is wrong")}, "application/problem+json")
    )
    with pact.serve() as server:
        edge = edge_to(str(server.url))
        with pytest.raises(RefusedError) as refused:
            [each async for each in answer(edge, Question("Which boots?", "no/session"), 5)]
    assert refused.value.status == 422
    assert refused.value.content_type.startswith("application/problem+json")
