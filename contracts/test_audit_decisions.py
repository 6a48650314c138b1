"""What audit-svc relies on in the services that tell it of decisions: every field, as docs/audit.md defines them."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock, patch
from uuid import UUID

import pytest
from pact import match

from system.audit import trail
from system.audit.recorder import Recorder
from system.kit.bus import Received
from system.kit.decisions import Decision

CONSUMER = "audit-svc"
MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"
# The provider, what its message is called, its type, whether a user is known, what is said of input and output.
TOLD = [
    (
        "chat-svc",
        "an answer in a chat",
        "CHAT_ANSWER_GENERATED",
        {"characters": 5},
        {"characters": 7, "source": "model"},
    ),
    (
        "moderation-svc",
        "a verdict on a content",
        "CONTENT_MODERATED",
        {"contentId": "pact-content", "characters": 19},
        {"verdict": "refused", "source": "block-list"},
    ),
    (
        "recommendation-svc",
        "a recommendation for a user",
        "RECOMMENDATION_GENERATED",
        {"limit": 5},
        {"items": ["item-042"], "source": "model"},
    ),
    (
        "search-svc",
        "a ranking of search results",
        "SEARCH_RESULTS_RANKED",
        {"query": "hiking boots", "limit": 5},
        {"source": "hybrid"},
    ),
]


@pytest.mark.parametrize(("provider", "what", "kind", "given", "answered"), TOLD, ids=[row[0] for row in TOLD])
def test_a_decision_is_written_down(agree, provider, what, kind, given, answered) -> None:
    decision = {
        "id": match.uuid("3f0a1c52-9d1e-4b6f-8a57-1f0b5a7c2e34"),
        "type": kind,
        "model": match.str("some-model"),
        "confidence": match.number(0.5),
        "input": {name: match.type(value) for name, value in given.items()},
        "output": {name: match.type(value) for name, value in answered.items()},
        "timestamp": match.regex("2026-01-01T00:00:00Z", regex=MOMENT),
    }
    pact = agree(CONSUMER, provider)
    pact.upon_receiving(what, "Async").with_body(decision, "application/json")
    written: list[Decision] = []

    async def append(_connection: object, decisions: list[Decision]) -> list[str]:
        written.extend(decisions)
        return ["appended"] * len(decisions)

    def hear(body: str | bytes | None, _metadata: dict[str, object]) -> None:
        told = Decision.model_validate_json(body or b"")
        received = Received("ai-decisions", "", UUID(int=0))
        assert asyncio.run(Recorder(Mock()).handle(told, received)) == "done"

    transaction = patch("system.kit.database.transaction", return_value=AsyncMock())
    with transaction, patch.object(trail, "append", append):
        pact.verify(hear, "Async")
    assert [each.type for each in written] == [kind]
