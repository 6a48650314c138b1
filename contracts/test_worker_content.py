"""What ai-worker relies on in content-svc, said by its own client code."""

from __future__ import annotations

from uuid import UUID

from pact import match

from system.ai_worker.documents import Documents

CONSUMER = "ai-worker"
PROVIDER = "content-svc"
DOCUMENT = "9a7e2f60-14c5-4f6b-8a0d-3a5f8c1b2d43"
MADE = {
    "documentId": DOCUMENT,
    "userId": "5b1e7a52-6f0e-4f8e-9d43-0a4c5f6d7e84",
    "repeatKey": "pact-summary",
    "title": "Boots",
    "prompt": "Write about boots",
    "text": "Boots keep feet dry.",
}


async def test_a_document_to_be_summarised(pact, edge_to) -> None:
    (
        pact.upon_receiving("a document to be summarised")
        .given("a published document", **MADE)
        .with_request("GET", f"/internal/documents/{DOCUMENT}")
        .will_respond_with(200)
        .with_body({"title": match.str("Boots"), "text": match.str("Boots keep feet dry.")}, "application/json")
    )
    with pact.serve() as server:
        document = await Documents(edge_to(str(server.url)), 5).get(UUID(DOCUMENT))
    assert document
    assert (document.title, document.text) == ("Boots", "Boots keep feet dry.")


async def test_a_document_that_is_gone(pact, edge_to) -> None:
    (
        pact.upon_receiving("a document that is gone")
        .given("no such document", documentId=DOCUMENT)
        .with_request("GET", f"/internal/documents/{DOCUMENT}")
        .will_respond_with(404)
    )
    with pact.serve() as server:
        assert await Documents(edge_to(str(server.url)), 5).get(UUID(DOCUMENT)) is None
