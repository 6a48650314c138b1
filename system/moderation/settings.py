"""What moderation-svc is told by its environment."""

from __future__ import annotations

from pathlib import Path

from system.kit.forms import FormSettings


class ModerationSettings(FormSettings):
    """A verdict of the model of which it is less sure than `confidence_needed`, from 0 to 1, is held for review.

    Reviews are kept for `review_seconds` after they were decided. Without `broker_url` no decision is told.
    """

    port: int = 3005
    store_url: str
    broker_url: str = ""
    block_list: Path = Path(__file__).parent / "blocklist.txt"
    confidence_needed: float = 0.7
    review_seconds: int = 30 * 86_400
    waiting_interval_seconds: float = 5.0
    llm_seconds: float = 5.0
    llm_attempt_seconds: float = 3.0
