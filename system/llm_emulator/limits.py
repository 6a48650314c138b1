"""The provider's rate limits: a bucket a key for requests and for tokens, told in headers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil

from system.llm_emulator.errors import ApiError


@dataclass
class Bucket:
    """Holds `limit` and refills it evenly within a minute. Times in seconds."""

    limit: int
    clock: Callable[[], float]
    level: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.level, self.at = float(self.limit), self.clock()

    def wait(self, amount: float) -> float:
        """Seconds until `amount` is there; 0 where it is."""
        now = self.clock()
        self.level, self.at = min(self.limit, self.level + (now - self.at) * self.limit / 60), now
        return max(0.0, min(amount, self.limit) - self.level) * 60 / self.limit

    def take(self, amount: float) -> None:
        self.level -= amount

    def headers(self, name: str) -> dict[str, str]:
        full = datetime.now(UTC) + timedelta(seconds=self.wait(self.limit))
        prefix = f"anthropic-ratelimit-{name}"
        return {
            f"{prefix}-limit": str(self.limit),
            f"{prefix}-remaining": str(max(0, int(self.level))),
            f"{prefix}-reset": full.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class Limits:
    """Limits a minute for each key. `admit` takes, or raises the 429 with its retry-after."""

    def __init__(self, requests: int, tokens: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._sizes = {"requests": requests, "tokens": tokens}
        self._clock = clock
        self._keys: dict[str, dict[str, Bucket]] = {}

    def admit(self, key: str, tokens: int) -> dict[str, str]:
        buckets = self._keys.setdefault(key, {name: Bucket(size, self._clock) for name, size in self._sizes.items()})
        amounts = {"requests": 1, "tokens": tokens}
        waits = {name: bucket.wait(amounts[name]) for name, bucket in buckets.items()}
        if any(waits.values()):
            raise self._refusal(buckets, waits)
        for name, bucket in buckets.items():
            bucket.take(amounts[name])
        return _headers(buckets)

    def _refusal(self, buckets: dict[str, Bucket], waits: dict[str, float]) -> ApiError:
        name = max(waits, key=lambda name: waits[name])
        headers = _headers(buckets) | {"retry-after": str(ceil(waits[name]))}
        limit = self._sizes[name]
        return ApiError(
            "rate_limit_error", f"This request would exceed the rate limit of {limit} {name} per minute.", headers
        )


def _headers(buckets: dict[str, Bucket]) -> dict[str, str]:
    return {key: value for name, bucket in buckets.items() for key, value in bucket.headers(name).items()}
