"""What every route of the gateway works with, and what stands before every answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from system.gateway.auth import Verifier
from system.gateway.cache import Cache
from system.gateway.edges import Edges
from system.gateway.limits import Limiter
from system.gateway.policies import Policy
from system.gateway.recommendations import Recommendations, Recommender
from system.gateway.searching import Found, Searcher
from system.gateway.settings import GatewaySettings
from system.kit import deadline
from system.kit.store import Store
from system.kit.tokens import Claims


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


def gateway_of(connection: HTTPConnection) -> Gateway:
    gateway: Gateway = connection.app.state.gateway
    return gateway


async def _here(request: Request) -> Gateway:
    """Asynchronous, since FastAPI runs what is not in a thread."""
    return gateway_of(request)


Here = Annotated[Gateway, Depends(_here)]


async def admit(gateway: Gateway, request: Request, policy: Policy) -> Claims | None:
    """Applies `policy`. Raises ProblemError.

    What is left of the caller's allowance waits in the request's state for the answer.
    """
    deadline.within(policy.timeout)
    claims = await gateway.verifier.claims(request.headers.get("authorization"), policy)
    caller = claims.user if claims else f"address {request.client.host if request.client else 'unknown'}"
    allowance = await gateway.limiter.take(policy, caller, claims.tier if claims else "free")
    request.state.headers = allowance.headers if allowance else {}
    return claims


async def admit_known(gateway: Gateway, request: Request, policy: Policy) -> Claims:
    claims = await admit(gateway, request, policy)
    assert claims  # noqa: S101  the policy requires a token
    return claims
