"""Parts of the gateway that need nobody: event framing, keys, popular items."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from pydantic import TypeAdapter

from system.gateway.conversation import whole_events
from system.gateway.recommendations import KNOWN_POPULAR, Item


async def regrouped(*chunks: bytes) -> list[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [events async for events in whole_events(pieces())]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"a\n\nb\n\n"], [b"a\n\nb\n\n"]),
        ([b"a\n", b"\nb", b"\n\n"], [b"a\n\n", b"b\n\n"]),
        ([b"a\n\nhalf"], [b"a\n\n"]),
        ([b"half"], []),
        ([], []),
        ([b"a", b"b", b"c\n\n"], [b"abc\n\n"]),
    ],
)
async def test_only_whole_events_go_on(chunks: list[bytes], expected: list[bytes]) -> None:
    assert await regrouped(*chunks) == expected


def test_popular_items_known_from_the_start_are_enough_for_a_homepage() -> None:
    items = TypeAdapter(list[Item]).validate_json(KNOWN_POPULAR.read_bytes())
    assert len(items) >= 10
    assert len({item.id for item in items}) == len(items)
    assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)


def test_popular_items_are_of_the_recommenders_catalogue() -> None:
    """A newly trained model with another shop would leave the file behind."""
    from system.recommendation.purchases import generate

    log = generate(0)
    titles = dict(zip(log.item_ids, log.titles, strict=True))
    for item in json.loads(KNOWN_POPULAR.read_text()):
        assert titles[item["id"]] == item["title"]
