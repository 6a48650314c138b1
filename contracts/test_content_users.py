"""What content-svc relies on in user-svc, said by its saga's own steps."""

from __future__ import annotations

import documents
from pact import match

CONSUMER = "content-svc"
PROVIDER = "user-svc"
DOCUMENT = documents.document()
PATH = f"/internal/users/{DOCUMENT.user_id}/content/{DOCUMENT.id}"
USER = {"userId": str(DOCUMENT.user_id), "email": "writer@contracts.example", "name": "Pat"}
RECORD = USER | {"contentId": str(DOCUMENT.id), "title": DOCUMENT.title, "body": DOCUMENT.prompt}


async def test_a_record_is_made(pact, parts) -> None:
    (
        pact.upon_receiving("a content record")
        .given("a user", **USER)
        .with_request("PUT", PATH)
        .with_body({"title": DOCUMENT.title, "body": DOCUMENT.prompt}, content_type="application/json")
        .will_respond_with(201)
    )
    with pact.serve() as server:
        await parts(user_url=str(server.url)).create(DOCUMENT)


async def test_a_record_is_taken_back(pact, parts) -> None:
    (
        pact.upon_receiving("a content record that is taken back")
        .given("a user with a content record", **RECORD)
        .with_request("DELETE", PATH)
        .will_respond_with(204)
    )
    with pact.serve() as server:
        await parts(user_url=str(server.url)).uncreate(DOCUMENT)


async def test_whether_a_record_is_there(pact, parts) -> None:
    (
        pact.upon_receiving("a content record that is there")
        .given("a user with a content record", **RECORD)
        .with_request("GET", PATH)
        .will_respond_with(200)
    )
    with pact.serve() as server:
        assert await parts(user_url=str(server.url)).has_record(DOCUMENT)


async def test_whether_a_record_is_not_there(pact, parts) -> None:
    (
        pact.upon_receiving("a content record that is not there")
        .given("a user", **USER)
        .with_request("GET", PATH)
        .will_respond_with(404)
        .with_body({"status": 404, "detail": match.str("there is no such content")}, "application/problem+json")
    )
    with pact.serve() as server:
        assert not await parts(user_url=str(server.url)).has_record(DOCUMENT)
