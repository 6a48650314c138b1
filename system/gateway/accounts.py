"""user-svc, passed through: the gateway knows who may ask, and nothing of what is said."""

from __future__ import annotations

import re

from system.gateway import cache, policies
from system.gateway.exchange import Answer, Exchange, Reply, told
from system.gateway.front import BELOW, Route
from system.gateway.gateway import Gateway
from system.kit import client
from system.kit.client import UnavailableError
from system.kit.problem import ProblemError

PATH = policies.USERS.name
TIMEOUT, UNAVAILABLE = 504, 503
CLIENT_ERROR = 400
# What may be handed on, there and back: the rest speaks of a connection, not of the request or its answer.
SENT = ("authorization", "content-type", "idempotency-key")
HANDED_ON = ("content-type", "cache-control", "etag", "location", "retry-after", "www-authenticate")
# After these, what was recommended before is not what should be now.
CHANGES_TASTE = frozenset({("POST", "/me/purchases"), ("PATCH", "/me")})
BELOW_PATH = re.compile(r"(/[A-Za-z0-9._-]+)*")
QUERY = re.compile(rb"[!-~]*")


async def account(gateway: Gateway, asked: Exchange) -> Answer:
    """Handed on as it is. A provider that is gone is a clean error: there is nothing to fall back to."""
    headers = {name: value for name in SENT if (value := asked.header(name.encode())) is not None}
    try:
        answer = await gateway.edges.users.call(
            asked.method,
            _path(asked),
            timeout=policies.USERS.timeout,
            body=await asked.body() or None,
            headers=headers,
            idempotent=asked.method == "GET" or "idempotency-key" in headers,
        )
    except UnavailableError as error:
        raise unavailable(error, "accounts") from error
    if asked.claims and answer.status < CLIENT_ERROR and (asked.method, asked.below) in CHANGES_TASTE:
        await cache.drop(gateway.redis, asked.claims.user)
    return handed_on(asked, answer)


def handed_on(asked: Exchange, answer: client.Answer) -> Reply:
    """A provider's answer as it is."""
    headers = [
        (name.encode(), value.encode("latin-1"))
        for name in HANDED_ON
        if (value := answer.headers.get(name)) is not None
    ]
    return Reply(answer.status, answer.body, [*headers, *told(asked)])


def unavailable(error: UnavailableError, what: str) -> ProblemError:
    if error.reason == "timeout":
        return ProblemError(TIMEOUT, f"{what} did not answer in time")
    retry = {"retry-after": str(max(1, round(error.retry_after)))}
    return ProblemError(UNAVAILABLE, f"{what} are not available now", headers=retry)


def _path(asked: Exchange) -> str:
    """As user-svc knows it. Raises ProblemError for one that might lead elsewhere."""
    below, query = asked.scope["path"].removeprefix(PATH), asked.scope["query_string"]
    if not BELOW_PATH.fullmatch(below) or ".." in below or not QUERY.fullmatch(query):
        raise ProblemError(404, "there is no such path")
    return f"/users{below}" + (f"?{query.decode()}" if query else "")


ROUTES = (
    *(Route("POST", PATH + below, policies.USERS_OPEN, account) for below in ("", "/login", "/refresh", "/logout")),
    *(Route(method, PATH + BELOW, policies.USERS, account) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")),
)
