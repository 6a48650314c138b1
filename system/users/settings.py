"""What user-svc is told by its environment."""

from __future__ import annotations

from system.kit.settings import Settings


class UserSettings(Settings):
    """`jwt_key` is a PEM of an EC P-256 private key; without it the keys live in the database. Times in seconds."""

    database_url: str
    jwt_key: str | None = None
    access_token_seconds: int = 900
    refresh_token_seconds: int = 30 * 86_400
