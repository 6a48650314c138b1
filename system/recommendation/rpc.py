"""The same recommendations by gRPC, for callers inside the system."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import grpc
from grpc import aio
from opentelemetry.trace import SpanKind, Status, StatusCode
from pydantic import ValidationError

from system.kit import deadline, signals, telemetry
from system.recommendation._gen import recommendation_pb2 as messages
from system.recommendation.recommender import Recommender
from system.recommendation.wanted import DEFAULT_LIMIT, Wanted

SERVICE = "gameday.recommendation.v1.Recommendations"
GET, STREAM = "GetRecommendations", "StreamRecommendations"
SOURCES = {
    "model": messages.GetRecommendationsResponse.SOURCE_MODEL,
    "popular": messages.GetRecommendationsResponse.SOURCE_POPULAR,
}
# Requests of one stream that are worked on at a time.
AHEAD = 64

Q = TypeVar("Q")
A = TypeVar("A")


@asynccontextmanager
async def serving(recommender: Recommender, address: str, drain: float) -> AsyncIterator[int]:
    """Serves at `host:port` until the block ends; open calls then have `drain` seconds. Gives the port."""
    server = aio.server()
    server.add_generic_rpc_handlers((_handlers(Servicer(recommender)),))
    port: int = server.add_insecure_port(address)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(drain)


class Servicer:
    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def get(
        self, request: messages.GetRecommendationsRequest, context: aio.ServicerContext
    ) -> messages.GetRecommendationsResponse:
        async with _observed(GET, context):
            return await self._answer(request)

    async def stream(
        self, requests: AsyncIterator[messages.GetRecommendationsRequest], context: aio.ServicerContext
    ) -> AsyncIterator[messages.GetRecommendationsResponse]:
        async with _observed(STREAM, context), aclosing(in_order(requests, self._answer, AHEAD)) as answers:
            async for answer in answers:
                yield answer

    async def _answer(self, request: messages.GetRecommendationsRequest) -> messages.GetRecommendationsResponse:
        limit = request.limit if request.HasField("limit") else DEFAULT_LIMIT
        wanted = Wanted(userId=request.user_id, limit=limit)
        found = await self._recommender.recommend(wanted.userId, wanted.limit)
        return messages.GetRecommendationsResponse(
            user_id=wanted.userId,
            items=[messages.Item(id=item.id, score=item.score, title=item.title) for item in found.items],
            model_version=found.model_version,
            source=SOURCES[found.source],
        )


async def in_order(
    questions: AsyncIterator[Q], answer: Callable[[Q], Awaitable[A]], ahead: int
) -> AsyncGenerator[A, None]:
    """The answers in the order of the questions, each once it is there; up to `ahead` are worked on at a time."""
    answers: asyncio.Queue[asyncio.Future[A] | None] = asyncio.Queue(ahead)

    async def read() -> None:
        async for question in questions:
            await answers.put(asyncio.ensure_future(answer(question)))
        await answers.put(None)

    reading = asyncio.create_task(read())
    try:
        while (task := await answers.get()) is not None:
            yield await task
    finally:
        reading.cancel()
        while not answers.empty():
            if task := answers.get_nowait():
                task.cancel()


@asynccontextmanager
async def _observed(method: str, context: aio.ServicerContext) -> AsyncIterator[None]:
    """Correlation id, deadline, trace and metric of a call; what a caller did wrong as its gRPC status."""
    metadata = [
        (key.encode(), value.encode()) for key, value in context.invocation_metadata() if isinstance(value, str)
    ]
    telemetry.CORRELATION_ID.set(telemetry.correlation_id(dict(context.invocation_metadata()).get("x-correlation-id")))
    telemetry.USER_ID.set(telemetry.user_id(dict(context.invocation_metadata()).get(telemetry.USER_HEADER)))
    deadline.clear()
    if (left := context.time_remaining()) is not None:
        deadline.within(left)
    started, code = time.perf_counter(), grpc.StatusCode.OK
    trace = telemetry.received_context(metadata)
    with telemetry.TRACER.start_as_current_span(f"{SERVICE}/{method}", context=trace, kind=SpanKind.SERVER) as span:
        try:
            yield
        except ValidationError as error:
            code = grpc.StatusCode.INVALID_ARGUMENT
            await context.abort(code, "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors()))
        except TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            span.set_status(Status(StatusCode.ERROR))
            await context.abort(code, "the model did not answer before the caller's deadline")
        finally:
            seconds = time.perf_counter() - started
            signals.RPC_DURATION.labels(SERVICE, method, code.name).observe(seconds)
            told = {"rpc": f"{SERVICE}/{method}", "status": code.name, "latencyMs": round(seconds * 1000, 2)}
            telemetry.told(signals.LOG_REQUEST, **told)


def _handlers(servicer: Servicer) -> grpc.GenericRpcHandler:
    encode = messages.GetRecommendationsResponse.SerializeToString
    decode = messages.GetRecommendationsRequest.FromString
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            GET: grpc.unary_unary_rpc_method_handler(servicer.get, decode, encode),
            STREAM: grpc.stream_stream_rpc_method_handler(servicer.stream, decode, encode),
        },
    )
