"""What recommendation-svc relies on in what user-svc tells of purchases."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock
from uuid import UUID

from pact import match

from system.kit.bus import Received
from system.recommendation.bought import Bought, Purchased

CONSUMER = "recommendation-svc"
PROVIDER = "user-svc"
USER = "5b1e7a52-6f0e-4f8e-9d43-0a4c5f6d7e86"
MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"


def test_a_purchase_is_learnt_from(pact) -> None:
    event = {
        "userId": match.uuid(USER),
        "itemId": match.str("item-042"),
        "occurredAt": match.regex("2026-01-01T00:00:00+00:00", regex=MOMENT),
    }
    pact.upon_receiving("a purchase", "Async").with_body(event, "application/json")
    recorded = AsyncMock(return_value=1)
    store = Mock(ask=AsyncMock(side_effect=[0, 1]), script=Mock(return_value=recorded))
    liked = AsyncMock(return_value=[])
    bought = Bought(store, Mock(ask=AsyncMock()), Mock(like=liked))

    def hear(body: str | bytes | None, _metadata: dict[str, object]) -> None:
        purchased = Purchased.model_validate_json(body or b"")
        assert asyncio.run(bought.handle(purchased, Received("user.purchased", "", UUID(int=1)))) == "done"

    pact.verify(hear, "Async")
    liked.assert_awaited_once_with(USER, ["item-042"])
