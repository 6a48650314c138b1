"""What api-gateway relies on in search-svc, said by the gateway's own client code."""

from __future__ import annotations

from unittest.mock import Mock

from pact import match

from system.gateway.searching import Searcher, SearchWanted

CONSUMER = "api-gateway"
PROVIDER = "search-svc"
ITEM = {"itemId": "pact-item", "title": "Birch Hiking Boots", "text": "Boots for long walks"}


async def test_what_is_found_for_a_query(pact, edge_to) -> None:
    hit = {"id": match.str("item-042"), "title": match.str("Birch Hiking Boots"), "score": match.number(0.31)}
    (
        pact.upon_receiving("a search for an item")
        .given("an item", **ITEM)
        .with_request("POST", "/search")
        .with_body({"query": "birch hiking boots", "limit": 5}, content_type="application/json")
        .will_respond_with(200)
        .with_body(
            {
                "items": match.each_like(hit, min=1, max=5),
                "source": match.regex("hybrid", regex="^(hybrid|fallback)$"),
            },
            content_type="application/json",
        )
    )
    with pact.serve() as server:
        searcher = Searcher(edge_to(str(server.url)), Mock())
        found, share = await searcher.ask(SearchWanted(query="birch hiking boots", limit=5), 5)
    assert (found.source, found.items[0].id, share) == ("hybrid", "item-042", 1.0)
