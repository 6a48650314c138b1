"""What api-gateway relies on in content-svc, said by the gateway's own client code."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import UUID

from pact import match

from system.gateway import contents
from system.gateway.exchange import Exchange, Reply
from system.gateway.tasks import Tasks
from system.kit.tokens import Claims

CONSUMER = "api-gateway"
PROVIDER = "content-svc"
USER, DOCUMENT = "5b1e7a52-6f0e-4f8e-9d43-0a4c5f6d7e82", "9a7e2f60-14c5-4f6b-8a0d-3a5f8c1b2d42"
MADE = {
    "documentId": DOCUMENT,
    "userId": USER,
    "repeatKey": "pact-wish",
    "title": "Boots",
    "prompt": "Write about boots",
    "text": "Boots keep feet dry.",
}
CONTENT = {
    "id": DOCUMENT,
    "userId": USER,
    "title": match.str("Boots"),
    "text": match.str("Boots keep feet dry."),
    "createdAt": match.regex(
        "2026-01-01T00:00:00Z", regex=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"
    ),
}
TOLD = {"success": True, "id": DOCUMENT, "state": match.str("published"), "content": CONTENT}
HELD = {
    "success": False,
    "id": DOCUMENT,
    "state": match.str("held"),
    "reason": match.regex("held", regex="^(unsafe|failed|held|running)$"),
    "error": match.str("Content is held for review"),
}


def asked(method: str, below: str, body: Any = None, **headers: str) -> Exchange:
    content = b"" if body is None else json.dumps(body).encode()
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    sent += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content}

    scope = {"method": method, "path": f"/api/content{below}", "query_string": b"", "headers": sent}
    exchange = Exchange(scope, receive, below)
    exchange.claims = Claims(USER, "free", (), 0)
    return exchange


def gateway(edge: Any) -> Any:
    return SimpleNamespace(edges=SimpleNamespace(content=edge), settings=SimpleNamespace(content_url="http://pact"))


async def test_a_wish_that_was_made_before_gives_its_document(pact, edge_to) -> None:
    wish = {"prompt": MADE["prompt"], "title": MADE["title"]}
    (
        pact.upon_receiving("a wish that was made before")
        .given("a published document", **MADE)
        .with_request("POST", "/content")
        .with_header("idempotency-key", "pact-wish")
        .with_body({"userId": USER, **wish}, content_type="application/json")
        .will_respond_with(200)
        .with_body(TOLD, content_type="application/json")
    )
    with pact.serve() as server:
        edge = edge_to(str(server.url))
        reply = await contents.create(gateway(edge), asked("POST", "", wish, idempotency_key="pact-wish"))
    assert isinstance(reply, Reply)
    assert json.loads(reply.body)["content"]["text"] == "Boots keep feet dry."


async def test_what_is_held_says_why(pact, edge_to) -> None:
    (
        pact.upon_receiving("a document that is held")
        .given("a document that is held", **MADE)
        .with_request("GET", f"/content/{DOCUMENT}")
        .with_query_parameter("userId", USER)
        .will_respond_with(200)
        .with_body(HELD, content_type="application/json")
    )
    with pact.serve() as server:
        reply = await contents.show(gateway(edge_to(str(server.url))), asked("GET", f"/{DOCUMENT}"))
    assert isinstance(reply, Reply)
    assert json.loads(reply.body)["reason"] == "held"


def tasks(edge: Any) -> Tasks:
    return Tasks(Mock(), Mock(), edge, Mock(), "")


async def test_whose_a_document_is(pact, edge_to) -> None:
    (
        pact.upon_receiving("whose a document is")
        .given("a published document", **MADE)
        .with_request("GET", f"/internal/documents/{DOCUMENT}")
        .will_respond_with(200)
        .with_body({"userId": USER}, content_type="application/json")
    )
    with pact.serve() as server:
        assert await tasks(edge_to(str(server.url))).owned(UUID(DOCUMENT), USER)


async def test_what_is_not_there_is_nobodys(pact, edge_to) -> None:
    (
        pact.upon_receiving("whose a document is that there is not")
        .given("no such document", documentId=DOCUMENT)
        .with_request("GET", f"/internal/documents/{DOCUMENT}")
        .will_respond_with(404)
    )
    with pact.serve() as server:
        assert not await tasks(edge_to(str(server.url))).owned(UUID(DOCUMENT), USER)
