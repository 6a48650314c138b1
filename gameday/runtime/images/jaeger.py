"""`jaegertracing/jaeger` and `all-in-one`: gameday's own store of spans, which answers the same queries."""

from __future__ import annotations

import sys

from gameday import __version__
from gameday.runtime.images import Launch, Place

# Queries, then OTLP over HTTP. OTLP over gRPC (4317) has no local server.
PORTS: tuple[int, ...] = (16686, 4318)
HTTP = True


def missing() -> str | None:
    return None


def program() -> str:
    return sys.executable


def version() -> str:
    return f"gameday.spans {__version__}"


async def prepare(place: Place) -> Launch:
    listen = [word for port in PORTS if port in place.endpoints for word in ("--listen", str(place.endpoints[port]))]
    argv = (program(), "-m", "gameday.spans", "--data", str(place.path("/badger")), *listen)
    return Launch(argv, {**place.inherited, **place.environment}, place.home)
