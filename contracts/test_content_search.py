"""What content-svc relies on in search-svc, said by its saga's own steps."""

from __future__ import annotations

import documents

CONSUMER = "content-svc"
PROVIDER = "search-svc"
DOCUMENT = documents.document()
PATH = f"/items/{DOCUMENT.id}"
ITEM = {"itemId": str(DOCUMENT.id), "title": DOCUMENT.title, "text": DOCUMENT.body}


async def test_a_document_is_indexed(pact, parts) -> None:
    (
        pact.upon_receiving("a document to be found")
        .given("no such item", itemId=str(DOCUMENT.id))
        .with_request("PUT", PATH)
        .with_body({"title": DOCUMENT.title, "text": DOCUMENT.body}, content_type="application/json")
        .will_respond_with(201)
    )
    with pact.serve() as server:
        await parts(search_url=str(server.url)).index(DOCUMENT)


async def test_a_document_is_removed_for_good(pact, parts) -> None:
    (
        pact.upon_receiving("a document that is not to be found any more")
        .given("an item", **ITEM)
        .with_request("DELETE", PATH)
        .with_query_parameter("for_good", "true")
        .will_respond_with(204)
    )
    with pact.serve() as server:
        await parts(search_url=str(server.url)).unindex(DOCUMENT)


async def test_whether_a_document_is_indexed(pact, parts) -> None:
    (
        pact.upon_receiving("an item that is there")
        .given("an item", **ITEM)
        .with_request("GET", PATH)
        .will_respond_with(200)
    )
    with pact.serve() as server:
        assert await parts(search_url=str(server.url)).has_item(DOCUMENT)


async def test_whether_a_document_is_not_indexed(pact, parts) -> None:
    (
        pact.upon_receiving("an item that is not there")
        .given("no such item", itemId=str(DOCUMENT.id))
        .with_request("GET", PATH)
        .will_respond_with(404)
    )
    with pact.serve() as server:
        assert not await parts(search_url=str(server.url)).has_item(DOCUMENT)
