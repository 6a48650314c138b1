"""What audit-svc is told by its environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from system.kit.settings import Settings


class AuditSettings(Settings):
    """`database_url` is of a role that can only add; `migration_url` of the one that owns the tables.

    Times in seconds. What decisions say about persons is kept for `retention_days`. Without `broker_url` nobody tells
    of decisions; `bus_retry_seconds` is the first wait before one is tried again.
    """

    port: int = 3008
    database_url: str
    migration_url: str
    broker_url: str = ""
    bus_retry_seconds: Annotated[float, Field(gt=0)] = 1.0
    retention_days: Annotated[float, Field(gt=0)] = 365.0
    retention_interval_seconds: Annotated[float, Field(gt=0)] = 3600.0
    verify_interval_seconds: Annotated[float, Field(gt=0)] = 300.0
