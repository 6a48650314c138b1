"""What is told of a decision, and which of it is personal."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from pydantic import ValidationError

from system.kit.decisions import Decision, canonical

GOOD: dict[str, Any] = {
    "id": str(uuid.uuid4()),
    "type": "RECOMMENDATION_GENERATED",
    "userId": "ada",
    "model": "ease-1",
    "input": {"limit": 3},
    "output": {"items": ["a", "b"]},
    "confidence": 0.25,
    "timestamp": "2026-11-01T12:00:00+01:00",
}


def read(**change: Any) -> Decision:
    return Decision.model_validate_json(json.dumps(GOOD | change))


def test_a_decision_is_read_as_it_is_told() -> None:
    decision = read()
    assert decision.occurred_at.isoformat() == "2026-11-01T11:00:00+00:00"
    assert decision.personal() == {"userId": "ada", "input": {"limit": 3}, "output": {"items": ["a", "b"]}}
    assert read(userId=None, confidence=None).personal()["userId"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"id": "1"},
        {"type": "recommendation"},
        {"type": ""},
        {"type": "A" * 65},
        {"userId": ""},
        {"userId": "a\x00"},
        {"userId": "a" * 129},
        {"model": ""},
        {"model": None},
        {"input": None},
        {"input": "text"},
        {"output": []},
        {"output": {"score": float("nan")}},
        {"output": {"score": [float("inf")]}},
        {"confidence": 1.01},
        {"confidence": -0.01},
        {"confidence": float("nan")},
        {"timestamp": "2026-11-01T12:00:00"},
        {"timestamp": "yesterday"},
        {"colour": "red"},
    ],
    ids=str,
)
def test_what_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(**change)


def test_there_is_one_spelling() -> None:
    assert canonical({"b": 1, "a": "é\x00"}) == '{"a":"\\u00e9\\u0000","b":1}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"a": float("nan")})
