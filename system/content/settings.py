"""What content-svc is told by its environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from system.kit.settings import Settings

Seconds = Annotated[float, Field(gt=0)]


class ContentSettings(Settings):
    """Times in seconds.

    A step is tried `saga_attempts` times before the saga is undone; what undoes it is
    tried until it is done, with waits from `saga_wait_seconds` up to
    `saga_longest_wait_seconds`. About what is held it asks moderation-svc again every
    `saga_review_seconds`, and ever less often where a person has to decide.
    """

    port: int = 3006
    database_url: str
    user_url: str
    chat_url: str
    moderation_url: str
    search_url: str
    answer_seconds: Seconds = 58.0
    user_timeout_seconds: Seconds = 2.0
    chat_timeout_seconds: Seconds = 57.0
    moderation_timeout_seconds: Seconds = 10.0
    search_timeout_seconds: Seconds = 3.0
    saga_attempts: Annotated[int, Field(ge=1)] = 3
    saga_wait_seconds: Seconds = 0.5
    saga_longest_wait_seconds: Seconds = 30.0
    saga_review_seconds: Seconds = 60.0
    saga_sweep_seconds: Seconds = 10.0
    saga_stuck_seconds: Seconds = 300.0
    saga_log_seconds: Seconds = 3600.0
    breaker_enabled: bool = True
    breaker_failures: int = 5
    breaker_ai_failures: int = 3
    breaker_reset_seconds: Seconds = 30.0
