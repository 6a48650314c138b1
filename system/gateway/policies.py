"""What the gateway allows and promises for each route, in one table.

timeout       seconds that a caller waits at most; the providers are told what is left of it, and where there is
              a fallback, less of it: one that comes after the caller has left is none
token         whether the route needs an access token; `optional`: a bad one is refused, none is fine
per_minute    calls of one user by tier, of one address where there is no token
limiter_gone  what happens while calls cannot be counted: `admit` where being there matters more,
              `refuse` where each call costs money
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from system.kit.tokens import Tier

NO_LIMIT: Mapping[Tier, int] = {}
# Seconds in which a fallback is found and sent.
FALLBACK_SECONDS = 0.25


@dataclass(frozen=True)
class Policy:
    name: str
    timeout: float
    token: Literal["required", "optional", "none"]
    per_minute: Mapping[Tier, int]
    limiter_gone: Literal["admit", "refuse"] = "admit"

    @property
    def before_fallback(self) -> float:
        """Seconds that the provider has where there is something to give in its place."""
        return self.timeout - FALLBACK_SECONDS


# fmt: off
HOMEPAGE   = Policy("/api/homepage",  2,  "optional", NO_LIMIT)
CHAT       = Policy("/api/chat",      60, "required", {"free": 20,  "pro": 200}, "refuse")
RECOMMEND  = Policy("/api/recommend", 5,  "required", {"free": 100, "pro": 1000})
SEARCH     = Policy("/api/search",    3,  "required", {"free": 50,  "pro": 500})
USERS      = Policy("/api/users",     2,  "required", {"free": 200, "pro": 2000})
# A little longer than content-svc takes to say that it is not done yet.
CONTENT    = Policy("/api/content",   60, "required", {"free": 20,  "pro": 200}, "refuse")
CONTENT_SHOWN = Policy("/api/content/{id}", 2, "required", {"free": 200, "pro": 2000})
TASKS      = Policy("/api/tasks",     5,  "required", {"free": 20,  "pro": 200}, "refuse")
TASKS_SHOWN = Policy("/api/tasks/{id}", 2, "required", {"free": 200, "pro": 2000})
# Whoever calls it proves by a signature who it is.
WEBHOOK    = Policy("/webhook/summary", 5, "none",    NO_LIMIT)
USERS_OPEN = Policy("/api/users",     2,  "none",     {"free": 200, "pro": 2000})
# fmt: on
