"""What every route of the gateway works with, and what stands before every answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from system.gateway.auth import Verifier
from system.gateway.cache import Cache
from system.gateway.edges import Edges
from system.gateway.exchange import Exchange
from system.gateway.limits import Limiter
from system.gateway.policies import Policy
from system.gateway.recommendations import Recommendations, Recommender
from system.gateway.searching import Found, Searcher
from system.gateway.settings import GatewaySettings
from system.kit import deadline
from system.kit.store import Store

if TYPE_CHECKING:
    from system.gateway.tasks import Tasks


@dataclass(frozen=True)
class Gateway:
    settings: GatewaySettings
    edges: Edges
    redis: Store
    verifier: Verifier
    limiter: Limiter
    recommender: Recommender
    cache: Cache[Recommendations]
    searcher: Searcher
    searches: Cache[Found]
    tasks: Tasks | None

    async def admit(self, asked: Exchange, policy: Policy) -> None:
        """Applies `policy`, and notes in the exchange who asks and what that caller has left. Raises ProblemError."""
        deadline.within(policy.timeout)
        asked.claims = claims = await self.verifier.claims(asked.header(b"authorization"), policy)
        caller, tier = (claims.user, claims.tier) if claims else (f"address {asked.address}", "free")
        asked.allowance = await self.limiter.take(policy, caller, tier)
