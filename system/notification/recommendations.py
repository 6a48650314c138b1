"""What to show beside a purchase: the user's recommendations by gRPC, or popular items without them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import grpc
from grpc import aio
from opentelemetry.trace import SpanKind, Status, StatusCode
from pydantic import BaseModel, TypeAdapter

from system.kit import deadline, signals, telemetry
from system.kit.breaker import Breaker, OpenError
from system.notification._gen import recommendation_pb2 as messages

EDGE = "notification-svc->recommendation-svc"
METHOD = "/gameday.recommendation.v1.Recommendations/GetRecommendations"
KNOWN_POPULAR = Path(__file__).parent / "popular.json"
# gRPC waits up to two minutes before it connects again, and would go through a proxy that is meant for others.
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)
REASONS: dict[grpc.StatusCode, signals.FallbackReason] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: "timeout",
    grpc.StatusCode.UNAVAILABLE: "connection",
}


class Item(BaseModel):
    id: str
    title: str


class Recommended(BaseModel):
    """`source` is "fallback" where recommendation-svc did not answer, "popular" where it knows nothing of the user."""

    source: Literal["model", "popular", "fallback"]
    items: list[Item]


class Recommendations:
    """`address` is host:port, `timeout` in seconds."""

    def __init__(self, address: str, breaker: Breaker, limit: int, timeout: float) -> None:
        self._channel = aio.insecure_channel(address, options=OPTIONS)
        self._get = self._channel.unary_unary(
            METHOD,
            messages.GetRecommendationsRequest.SerializeToString,
            messages.GetRecommendationsResponse.FromString,
        )
        self._breaker = breaker
        self._limit = limit
        self._timeout = timeout
        self._popular = TypeAdapter(list[Item]).validate_json(KNOWN_POPULAR.read_bytes())[:limit]
        signals.announce_edge(EDGE, falls_back=True)

    async def close(self) -> None:
        await self._channel.close()

    async def ask(self, user: str) -> Recommended:
        """Never fails."""
        with telemetry.TRACER.start_as_current_span(METHOD[1:], kind=SpanKind.CLIENT) as span:
            span.set_attribute("edge", EDGE)
            try:
                permit = self._breaker.permit()
            except OpenError:
                signals.EDGE_REQUESTS.labels(EDGE, "short_circuit").inc()
                return self._instead("open", "circuit breaker open")
            started = time.monotonic()
            try:
                answer = await self._asked(user)
            except aio.AioRpcError as error:
                permit.failure(time.monotonic() - started)
                signals.EDGE_REQUESTS.labels(EDGE, "failure").inc()
                span.set_status(Status(StatusCode.ERROR, error.code().name))
                detail = f"{error.code().name}: {error.details()}"
                return self._instead(REASONS.get(error.code(), "status"), detail)
            except BaseException:
                permit.abandon()
                raise
            permit.success(time.monotonic() - started)
            signals.EDGE_REQUESTS.labels(EDGE, "success").inc()
            signals.EDGE_DURATION.labels(EDGE).observe(time.monotonic() - started)
            return answer

    async def _asked(self, user: str) -> Recommended:
        request = messages.GetRecommendationsRequest(user_id=user, limit=self._limit)
        metadata = tuple(telemetry.outgoing_headers().items())
        found = await self._get(request, timeout=deadline.remaining(self._timeout), metadata=metadata)
        known = found.source == messages.GetRecommendationsResponse.SOURCE_MODEL
        items = [Item(id=item.id, title=item.title) for item in found.items]
        return Recommended(source="model" if known else "popular", items=items)

    def _instead(self, reason: signals.FallbackReason, detail: str) -> Recommended:
        signals.FALLBACK.labels(EDGE, reason).inc()
        telemetry.logger("recommend").warning(signals.LOG_FALLBACK, edge=EDGE, reason=reason, error=detail)
        return Recommended(source="fallback", items=self._popular)
