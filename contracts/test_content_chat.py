"""What content-svc relies on in chat-svc, said by its saga's own steps."""

from __future__ import annotations

import documents
from pact import match

CONSUMER = "content-svc"
PROVIDER = "chat-svc"
DOCUMENT = documents.document()


async def test_a_text_is_written_without_what_was_said_before(pact, parts) -> None:
    session = str(DOCUMENT.id)
    (
        pact.upon_receiving("a session that is to be forgotten")
        .given("a session in which something was said", sessionId=session)
        .with_request("DELETE", f"/chat/sessions/{session}")
        .will_respond_with(204)
    )
    (
        pact.upon_receiving("a text that is to be written")
        .with_request("POST", "/chat")
        .with_header("accept", "application/json")
        .with_body({"message": DOCUMENT.prompt, "sessionId": session}, content_type="application/json")
        .will_respond_with(200)
        .with_body(
            {
                "text": match.regex("Boots keep feet dry.", regex=r"^[\s\S]+$"),
                "source": "model",
                "stop_reason": match.regex("end_turn", regex="^(end_turn|max_tokens|stop_sequence)$"),
            },
            content_type="application/json",
        )
    )
    with pact.serve() as server:
        assert await parts(chat_url=str(server.url)).generate(DOCUMENT) == "Boots keep feet dry."
