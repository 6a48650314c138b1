"""What api-gateway relies on in recommendation-svc, said by the gateway's own client code."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from pact import match

from system.gateway.recommendations import Popular, Recommender
from system.gateway.settings import GatewaySettings

CONSUMER = "api-gateway"
PROVIDER = "recommendation-svc"
USER = "pact-user"
TIMEOUT_SECONDS = 5.0

ITEM = {"id": match.str("item-042"), "score": match.number(0.31), "title": match.str("Birch Hiking Boots")}


def items(most: int) -> object:
    return match.each_like(ITEM, min=1, max=most)


@pytest.fixture
def settings() -> GatewaySettings:
    return GatewaySettings(port=0, user_url="", recommendation_url="", chat_url="", cache_url="", store_url="")


async def test_a_user_who_likes_some_items_is_answered_by_the_model(pact, edge_to, settings) -> None:
    (
        pact.upon_receiving("recommendations for a user who likes some items")
        .given("a user who likes some items", userId=USER)
        .with_request("POST", "/recommend")
        .with_body({"userId": USER, "limit": 5}, content_type="application/json")
        .will_respond_with(200)
        .with_body(
            {"items": items(5), "model_version": match.str("ease-0a1b2c3d"), "source": "model"},
            content_type="application/json",
        )
    )
    with pact.serve() as server:
        edge = edge_to(str(server.url))
        answer, share = await Recommender(edge, Popular(edge, settings)).ask(USER, 5, TIMEOUT_SECONDS)
    assert answer.source == "model"
    assert share == 1
    assert answer.items[0].title == "Birch Hiking Boots"


async def test_a_user_of_whom_nothing_is_known_is_answered_with_what_is_popular(pact, edge_to, settings) -> None:
    (
        pact.upon_receiving("recommendations for a user of whom nothing is known")
        .given("a user of whom nothing is known", userId=USER)
        .with_request("POST", "/recommend")
        .with_body({"userId": USER, "limit": 5}, content_type="application/json")
        .will_respond_with(200)
        .with_body(
            {"items": items(5), "model_version": match.str("ease-0a1b2c3d"), "source": "popular"},
            content_type="application/json",
        )
    )
    with pact.serve() as server:
        edge = edge_to(str(server.url))
        answer, share = await Recommender(edge, Popular(edge, settings)).ask(USER, 5, TIMEOUT_SECONDS)
    assert answer.source == "model"
    assert share < 1


async def test_the_fallback_is_kept_fresh_with_what_is_popular(pact, edge_to, settings) -> None:
    (
        pact.upon_receiving("popular items")
        .with_request("GET", "/popular")
        .with_query_parameter("limit", "10")
        .will_respond_with(200)
        .with_body(
            {"items": items(10), "model_version": match.str("ease-0a1b2c3d"), "source": "popular"},
            content_type="application/json",
        )
    )
    with pact.serve() as server:
        popular = Popular(edge_to(str(server.url)), settings)
        keeping = asyncio.create_task(popular.keep_fresh())
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while popular.instead("connection").items[0].id != "item-042":  # noqa: ASYNC110 - it runs for good and tells nobody
                await asyncio.sleep(0.01)
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
