"""What api-gateway is told by its environment."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from system.kit.settings import Settings
from system.kit.webhook import Secrets


class GatewaySettings(Settings):
    """Times in seconds. `popular_limit` is how many items the fallback answers with.

    With `webhook_secret`, `whsec_` and base64, tasks are taken; their outcome is told to `webhook_url`, by which
    ai-worker knows this gateway, and kept for `task_seconds`.

    Without `content_url` no content is made.

    A withdrawn signing key is good for at most `keys_refresh_seconds` more.

    `rate_limit_factor` multiplies what the policies allow a minute; 0 lifts it, for load tests.
    `cors_origins` is a comma list; without it no other origin may read answers.
    """

    user_url: str
    recommendation_url: str
    chat_url: str
    search_url: str = ""
    content_url: str = ""
    broker_url: str = ""
    webhook_secret: str = ""
    webhook_url: str = "http://api-gateway:3000/webhook/summary"
    task_seconds: int = 7 * 86_400
    cache_url: str
    store_url: str
    rate_limit_factor: float = 1.0
    keys_refresh_seconds: float = 300.0
    breaker_enabled: bool = True
    breaker_failures: int = 5
    breaker_ai_failures: int = 3
    breaker_reset_seconds: float = 30.0
    recommend_cache_seconds: float = 1800.0
    search_cache_seconds: float = 300.0
    homepage_part_timeout_seconds: float = 0.4
    popular_limit: int = 10
    popular_refresh_seconds: float = 300.0
    cors_origins: str = ""

    @model_validator(mode="after")
    def _tasks_are_whole(self) -> Self:
        if self.webhook_secret:
            try:
                Secrets.read(self.webhook_secret)
            except ValueError as error:
                raise ValueError(f"WEBHOOK_SECRET {error}") from None
            if not self.broker_url or not self.content_url:
                raise ValueError("WEBHOOK_SECRET needs BROKER_URL and CONTENT_URL: without them no task is taken")
        return self
