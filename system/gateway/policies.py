"""What the gateway allows and promises for each route, in one table.

timeout   seconds that a caller waits at most; the providers are told what is left of it
token     whether the route needs an access token; `optional`: a bad one is refused, none is fine
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Policy:
    route: str
    timeout: float
    token: Literal["required", "optional", "none"]


HOMEPAGE = Policy("/api/homepage", timeout=2, token="optional")  # noqa: S106
CHAT = Policy("/api/chat", timeout=60, token="required")  # noqa: S106
RECOMMEND = Policy("/api/recommend", timeout=5, token="required")  # noqa: S106
USERS_OPEN = Policy("/api/users (sign-up, login, refresh, logout)", timeout=2, token="none")  # noqa: S106
USERS = Policy("/api/users", timeout=2, token="required")  # noqa: S106
