"""How often a caller may ask, counted in Redis so that all gateways count together.

The count slides: of the minute before, the part that is not yet a minute old
counts by its share. Two full minutes cannot be spent within seconds around the turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from system.gateway.policies import Policy
from system.kit import signals
from system.kit.client import UnavailableError
from system.kit.problem import ProblemError
from system.kit.store import Store
from system.kit.tokens import Tier

WINDOW_SECONDS = 60

# One round trip, and by the clock of Redis: those of the gateways differ.
TAKE = """
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local start = now - now % window
local known = redis.call('HMGET', KEYS[1], 'start', 'count', 'before')
local count, before = 0, 0
if tonumber(known[1]) == start then
  count, before = tonumber(known[2]), tonumber(known[3])
elseif tonumber(known[1]) == start - window then
  before = tonumber(known[2])
end
local passed = (now - start) / window
local left = limit - count - before * (1 - passed)
if left < 1 then
  local wait
  if count + 1 > limit then
    wait = start + window - now + math.max(0, 1 - (limit - 1) / count) * window
  else
    wait = (1 - (limit - 1 - count) / before) * window - (now - start)
  end
  return {0, 0, math.ceil(wait)}
end
redis.call('HSET', KEYS[1], 'start', start, 'count', count + 1, 'before', before)
redis.call('PEXPIRE', KEYS[1], 2 * window)
return {1, math.floor(left - 1), start + window - now}
"""


@dataclass(frozen=True)
class Allowance:
    """What is left of a caller's minute. `seconds` until it is renewed, or, once it is spent, until the next call."""

    limit: int
    remaining: int
    seconds: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(self.remaining),
            "ratelimit-reset": str(self.seconds),
            "ratelimit-policy": f"{self.limit};w={WINDOW_SECONDS}",
        }


class Limiter:
    def __init__(self, store: Store, factor: float) -> None:
        self._store = store
        self._factor = factor

    async def take(self, policy: Policy, caller: str, tier: Tier) -> Allowance | None:
        """Counts one call. None where nothing limits it, or nothing can be counted. Raises ProblemError."""
        per_minute = policy.per_minute[tier] if policy.per_minute else 0
        if not per_minute or not self._factor:
            return None
        limit = max(1, round(per_minute * self._factor))
        try:
            allowed, remaining, milliseconds = await self._store.ask(
                lambda redis: redis.eval(TAKE, 1, f"limit:{policy.name}:{caller}", WINDOW_SECONDS * 1000, limit)
            )
        except UnavailableError as error:
            if policy.limiter_gone == "refuse":
                detail = "calls cannot be counted now"
                raise ProblemError(503, detail, headers={"retry-after": "1"}) from error
            return None
        allowance = Allowance(limit, remaining, math.ceil(milliseconds / 1000))
        if not allowed:
            signals.RATE_LIMITED.labels(policy.name, tier).inc()
            wait = {"retry-after": str(max(1, allowance.seconds))}
            raise ProblemError(429, f"at most {limit} calls a minute", headers={**allowance.headers, **wait})
        return allowance
