"""What notification-svc is told by its environment."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from system.kit.settings import Settings

Seconds = Annotated[float, Field(gt=0)]


class NotificationSettings(Settings):
    """Times in seconds.

    A job that its worker has not settled after `mail_claim_seconds` is another's; it is
    given up after `mail_job_seconds`, so that no two send it at once. Waits between
    attempts grow from `mail_retry_seconds` up to `mail_longest_wait_seconds`.
    `smtp_url` is smtp://host:port, `recommendation_grpc_url` is grpc://host:port.
    """

    port: int = 3007
    broker_url: str
    store_url: str
    user_url: str
    recommendation_grpc_url: str
    smtp_url: str
    mail_from: str = "shop@gameday.example"
    mail_workers: Annotated[int, Field(ge=1, le=100)] = 8
    mail_job_seconds: Seconds = 8.0
    mail_claim_seconds: Seconds = 10.0
    mail_attempts: Annotated[int, Field(ge=1)] = 5
    mail_retry_seconds: Seconds = 1.0
    mail_longest_wait_seconds: Seconds = 60.0
    bus_retry_seconds: Seconds = 1.0
    user_timeout_seconds: Seconds = 2.0
    recommendation_timeout_seconds: Seconds = 1.0
    recommendation_limit: Annotated[int, Field(ge=1, le=20)] = 5
    smtp_timeout_seconds: Seconds = 4.0
    breaker_enabled: bool = True
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    breaker_reset_seconds: Seconds = 30.0

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.mail_job_seconds >= self.mail_claim_seconds:
            raise ValueError("MAIL_JOB_SECONDS has to be less than MAIL_CLAIM_SECONDS, or a mail has two senders")
        for name, url, scheme in (
            ("SMTP_URL", self.smtp_url, "smtp"),
            ("RECOMMENDATION_GRPC_URL", self.recommendation_grpc_url, "grpc"),
        ):
            if urlsplit(url).scheme != scheme or not urlsplit(url).hostname or not urlsplit(url).port:
                raise ValueError(f"{name} {url!r} is not {scheme}://host:port")
        return self
