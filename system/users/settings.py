"""What user-svc is told by its environment."""

from __future__ import annotations

from system.kit.settings import Settings


class UserSettings(Settings):
    """`jwt_key` is a PEM of an EC P-256 private key; without it the keys live in the database. Times in seconds.

    Without `broker_url` events wait in the outbox.
    """

    database_url: str
    broker_url: str | None = None
    jwt_key: str | None = None
    access_token_seconds: int = 900
    refresh_token_seconds: int = 30 * 86_400
