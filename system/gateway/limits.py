"""How often a caller may ask, counted in Redis so that all gateways count together.

The count slides: of the minute before, the part that is not yet a minute old
counts by its share. Two full minutes cannot be spent within seconds around the turn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from system.gateway.policies import Policy
from system.kit import signals
from system.kit.client import UnavailableError
from system.kit.problem import ProblemError
from system.kit.store import Store
from system.kit.together import Together
from system.kit.tokens import Tier

WINDOW_SECONDS = 60

# Whether the call is allowed, how many are left, and milliseconds as in Allowance.
Taken = tuple[int, int, int]

# One round trip for all who ask at once, and by the clock of Redis: those of the gateways differ.
TAKE = """
local window = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local start = now - now % window
local passed = (now - start) / window

local function take(key, limit)
  local known = redis.call('HMGET', key, 'start', 'count', 'before')
  local count, before = 0, 0
  if tonumber(known[1]) == start then
    count, before = tonumber(known[2]), tonumber(known[3])
  elseif tonumber(known[1]) == start - window then
    before = tonumber(known[2])
  end
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
  redis.call('HSET', key, 'start', start, 'count', count + 1, 'before', before)
  redis.call('PEXPIRE', key, 2 * window)
  return {1, math.floor(left - 1), start + window - now}
end

local taken = {}
for number, key in ipairs(KEYS) do
  taken[number] = take(key, tonumber(ARGV[number + 1]))
end
return taken
"""


@dataclass(frozen=True)
class Allowance:
    """What is left of a caller's minute. `seconds` until it is renewed, or, once it is spent, until the next call."""

    limit: int
    remaining: int
    seconds: int

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.seconds),
            (b"ratelimit-policy", b"%d;w=%d" % (self.limit, WINDOW_SECONDS)),
        ]


class Limiter:
    def __init__(self, store: Store, factor: float) -> None:
        self._store = store
        self._factor = factor
        self._script = store.script(TAKE)
        self._count: Together[tuple[str, int], Taken] = Together(self._count_all)

    async def take(self, policy: Policy, caller: str, tier: Tier) -> Allowance | None:
        """Counts one call. None where nothing limits it, or nothing can be counted. Raises ProblemError."""
        per_minute = policy.per_minute[tier] if policy.per_minute else 0
        if not per_minute or not self._factor:
            return None
        limit = max(1, round(per_minute * self._factor))
        try:
            allowed, remaining, milliseconds = await self._count((f"limit:{policy.name}:{caller}", limit))
        except UnavailableError as error:
            if policy.limiter_gone == "refuse":
                detail = "calls cannot be counted now"
                raise ProblemError(503, detail, headers={"retry-after": "1"}) from error
            return None
        allowance = Allowance(limit, remaining, math.ceil(milliseconds / 1000))
        if not allowed:
            signals.RATE_LIMITED.labels(policy.name, tier).inc()
            told = {name.decode(): value.decode() for name, value in allowance.headers}
            told["retry-after"] = str(max(1, allowance.seconds))
            raise ProblemError(429, f"at most {limit} calls a minute", headers=told)
        return allowance

    async def _count_all(self, calls: Sequence[tuple[str, int]]) -> Sequence[Taken]:
        keys, limits = zip(*calls, strict=True)
        return await self._store.ask(lambda _: self._script(keys, (WINDOW_SECONDS * 1000, *limits)))
