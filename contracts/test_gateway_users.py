"""What api-gateway relies on in user-svc, said by the gateway's own client code."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from pact import match

from system.gateway.accounts import account
from system.gateway.auth import Verifier
from system.gateway.exchange import Exchange, Reply

CONSUMER = "api-gateway"
PROVIDER = "user-svc"
USER = {
    "userId": "5b1e7a52-6f0e-4f8e-9d43-0a4c5f6d7e81",
    "email": "pat@contracts.example",
    "name": "Pat",
    "password": "correct horse",
}
AUTHORIZATION = "Bearer a.signed.token"


async def asked(edge: Any, method: str, path: str, body: Any = None, **headers: str) -> tuple[Reply, dict[str, str]]:
    """The gateway's answer to a request of this kind."""
    content = b"" if body is None else json.dumps(body).encode()
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    if content:
        sent |= {b"content-type": b"application/json", b"content-length": b"%d" % len(content)}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content}

    scope = {"method": method, "path": path, "query_string": b"", "headers": list(sent.items())}
    gateway: Any = SimpleNamespace(edges=SimpleNamespace(users=edge), redis=None)
    reply = await account(gateway, Exchange(scope, receive, path))
    assert isinstance(reply, Reply)
    return reply, {name.decode(): value.decode() for name, value in reply.headers}


async def test_the_keys_that_check_tokens(pact, edge_to) -> None:
    key = {
        "kid": match.str("0a1b2c3d4e5f6071"),
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "x": match.regex("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", regex="^[A-Za-z0-9_-]{43}$"),
        "y": match.regex("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", regex="^[A-Za-z0-9_-]{43}$"),
    }
    (
        pact.upon_receiving("the keys that check tokens")
        .with_request("GET", "/.well-known/jwks.json")
        .will_respond_with(200)
        .with_body({"keys": match.each_like(key, min=1)}, content_type="application/json")
    )
    with pact.serve() as server:
        verifier = Verifier(edge_to(str(server.url)), 300)
        await verifier._fetch()
    assert list(verifier._keys) == ["0a1b2c3d4e5f6071"]


async def test_a_log_in_is_handed_on(pact, edge_to) -> None:
    body = {"email": USER["email"], "password": USER["password"]}
    (
        pact.upon_receiving("a log-in")
        .given("a user", **USER)
        .with_request("POST", "/users/login")
        .with_body(body, content_type="application/json")
        .will_respond_with(200)
        .with_body(
            {
                "access_token": match.str("a.signed.token"),
                "refresh_token": match.str("again"),
                "token_type": "Bearer",
                "expires_in": match.int(900),
            },
            content_type="application/json",
        )
    )
    with pact.serve() as server:
        reply, _ = await asked(edge_to(str(server.url)), "POST", "/api/users/login", body)
    assert (reply.status, json.loads(reply.body)["access_token"]) == (200, "a.signed.token")


async def test_somebody_without_a_token_is_told_how_to_show_one(pact, edge_to) -> None:
    (
        pact.upon_receiving("a profile without a token")
        .with_request("GET", "/users/me")
        .will_respond_with(401)
        .with_header("www-authenticate", "Bearer")
        .with_body({"status": 401, "detail": match.str("a bearer token is needed")}, "application/problem+json")
    )
    with pact.serve() as server:
        reply, headers = await asked(edge_to(str(server.url)), "GET", "/api/users/me")
    assert (reply.status, headers["www-authenticate"]) == (401, "Bearer")


async def test_a_profile_is_handed_on(pact, edge_to) -> None:
    (
        pact.upon_receiving("a profile")
        .given("a user who is logged in", **USER)
        .with_request("GET", "/users/me")
        .with_header("authorization", AUTHORIZATION)
        .with_generators({"header": {"authorization": {"type": "ProviderState", "expression": "${authorization}"}}})
        .will_respond_with(200)
        .with_body(
            {
                "id": USER["userId"],
                "email": USER["email"],
                "name": USER["name"],
                "tier": match.regex("free", regex="^[a-z]+$"),
            },
            content_type="application/json",
        )
    )
    with pact.serve() as server:
        reply, _headers = await asked(edge_to(str(server.url)), "GET", "/api/users/me", authorization=AUTHORIZATION)
    assert json.loads(reply.body)["name"] == "Pat"
