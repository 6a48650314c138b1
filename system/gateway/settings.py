"""What api-gateway is told by its environment."""

from __future__ import annotations

from system.kit.settings import Settings


class GatewaySettings(Settings):
    """Times in seconds. `popular_limit` is how many items the fallback answers with.

    A withdrawn signing key is good for at most `keys_refresh_seconds` more.

    `rate_limit_factor` multiplies what the policies allow a minute; 0 lifts it, for load tests.
    `cors_origins` is a comma list; without it no other origin may read answers.
    """

    user_url: str
    recommendation_url: str
    chat_url: str
    search_url: str = ""
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
