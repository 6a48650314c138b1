"""What ai-worker is told by its environment."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from system.kit.forms import FormSettings
from system.kit.webhook import Secrets

Seconds = Annotated[float, Field(gt=0)]


class WorkerSettings(FormSettings):
    """Times in seconds.

    `callback_urls` are the services of this system that take callbacks, `name=http://host:port` divided by commas.
    `webhook_secret` signs; several, with spaces between them, are for the time in which one is changed.
    A callback is tried `callback_attempts` times, with waits that grow from `callback_wait_seconds` up to
    `callback_longest_wait_seconds`; the defaults make about five hours of it.
    """

    port: int = 3010
    store_url: str
    broker_url: str
    content_url: str
    callback_urls: str = ""
    webhook_secret: str
    prefetch: Annotated[int, Field(ge=1, le=100)] = 8
    task_seconds: int = 7 * 86_400
    document_timeout_seconds: Seconds = 3.0
    callback_timeout_seconds: Seconds = 10.0
    callback_attempts: Annotated[int, Field(ge=1)] = 12
    callback_wait_seconds: Seconds = 5.0
    callback_longest_wait_seconds: Seconds = 3600.0
    bus_retry_seconds: Seconds = 1.0
    breaker_failures: int = 5
    llm_seconds: float = 60.0
    llm_attempt_seconds: float = 30.0

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            self.secrets()
        except ValueError as error:
            raise ValueError(f"WEBHOOK_SECRET {error}") from None
        self.services()
        return self

    def secrets(self) -> Secrets:
        return Secrets.read(self.webhook_secret)

    def services(self) -> dict[str, str]:
        """Where each service is reached that takes callbacks. Raises ValueError."""
        found = {}
        for each in filter(None, map(str.strip, self.callback_urls.split(","))):
            name, _, url = each.partition("=")
            if not name or urlsplit(url).scheme != "http" or not urlsplit(url).netloc:
                raise ValueError(f"CALLBACK_URLS {each!r} is not name=http://host:port")
            found[name.lower()] = url.rstrip("/")
        return found
