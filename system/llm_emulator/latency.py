"""How long a model takes: seconds to the first token, then seconds a token."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """`jitter` is the largest share by which a request is faster or slower, drawn from its seed."""

    first_token: float
    token: float
    jitter: float = 0.0

    def of(self, seed: int) -> Latency:
        """The latency of the request with this seed."""
        factor = 1 + random.Random(seed).uniform(-self.jitter, self.jitter)  # noqa: S311 - no secret
        return Latency(self.first_token * factor, self.token * factor)

    def total(self, tokens: int) -> float:
        return self.first_token + self.token * tokens
