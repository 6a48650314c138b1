"""The service: settings from the environment, routes, what is made at its start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Response
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, TypeAdapter

from system.kit import app, background, telemetry
from system.kit import states as kit_states
from system.kit.bus import Bus
from system.kit.client import UnavailableError
from system.kit.decisions import EVENT, Decisions
from system.kit.problem import ProblemError
from system.kit.settings import Settings as KitSettings
from system.kit.store import Store
from system.recommendation import events, states
from system.recommendation.device import Choice
from system.recommendation.features import Features
from system.recommendation.recommender import SERVICE, Recommendations, Recommender
from system.recommendation.serving import Serving
from system.recommendation.wanted import DEFAULT_LIMIT, Limit, UserId, Wanted

ItemId = Annotated[str, Field(min_length=1, max_length=64)]


class Settings(KitSettings):
    """Times in seconds. `model_watch_seconds` 0: the model of the start serves to the end.

    `answer_cache_seconds` 0: no answer is kept. Without `grpc_port` there is no gRPC, without `broker_url` nothing is
    learnt of purchases and no decision is told. `gateway_cache_url` is where the gateway keeps its answers.
    """

    port: int = 3001
    grpc_port: int | None = None
    cache_url: str
    gateway_cache_url: str = ""
    store_url: str = ""
    broker_url: str | None = None
    bus_retry_seconds: float = 1.0
    retrain_quiet_seconds: Annotated[float, Field(gt=0)] = 30.0
    retrain_longest_seconds: float = 600.0
    model_dir: Path = Path(__file__).parent / "model"
    model_device: Choice = "cpu"
    model_watch_seconds: float = 1.0
    batch_max: PositiveInt = 32
    batch_wait_seconds: NonNegativeFloat = 0.0
    answer_cache_seconds: NonNegativeFloat = 30.0


class Likes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    userId: UserId
    itemIds: Annotated[list[ItemId], Field(min_length=1, max_length=50)]


ANSWER = TypeAdapter(Recommendations)


def create(settings: Settings) -> FastAPI:
    # Before the model is loaded: what is said of it is a log line like any other.
    telemetry.setup(SERVICE, settings.log_level)
    store = Store("recommendation-svc->cache", settings.cache_url)
    features = Features(store, settings.answer_cache_seconds)
    serving = Serving(settings.model_dir, settings.model_device)
    bus = _bus(settings)
    decisions = Decisions(bus)
    recommender = Recommender(
        serving, features, decisions, max_batch=settings.batch_max, max_wait=settings.batch_wait_seconds
    )

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        watching = background.running(_watch(serving, settings.model_watch_seconds))
        async with watching, _events(bus, recommender, settings), decisions, _rpc(recommender, settings):
            yield
        recommender.close()
        await store.close()

    contract = kit_states.routers(settings, states.states(serving, features), states.messages(serving, features))
    routers = [_routes(recommender), *contract]
    return app.create(SERVICE, settings, routers=routers, lifespan=life)


def _rpc(recommender: Recommender, settings: Settings) -> AbstractAsyncContextManager[object]:
    if settings.grpc_port is None:
        return nullcontext()
    # Only here: who speaks REST alone does not pay for it.
    from system.recommendation import rpc

    return rpc.serving(recommender, f"{settings.host}:{settings.grpc_port}", settings.drain_seconds)


def _bus(settings: Settings) -> Bus | None:
    if settings.broker_url is None:
        return None
    return Bus(SERVICE, settings.broker_url, publishes=[EVENT], retry_seconds=settings.bus_retry_seconds)


def _events(bus: Bus | None, recommender: Recommender, settings: Settings) -> AbstractAsyncContextManager[object]:
    if bus is None:
        return nullcontext()
    sources = events.Sources(
        settings.store_url,
        settings.gateway_cache_url,
        settings.retrain_quiet_seconds,
        settings.retrain_longest_seconds,
    )
    return events.consuming(bus, sources, recommender)


def _routes(recommender: Recommender) -> APIRouter:
    routes = APIRouter()

    @routes.post("/recommend", response_model=Recommendations)
    async def recommend(wanted: Wanted) -> Response:
        try:
            return _told(await recommender.recommend(wanted.userId, wanted.limit))
        except TimeoutError:
            raise ProblemError(504, "the model did not answer before the caller's deadline") from None

    @routes.get("/popular", response_model=Recommendations)
    async def popular(limit: Annotated[Limit, Query()] = DEFAULT_LIMIT) -> Response:
        return _told(recommender.popular(limit))

    @routes.post("/preferences", status_code=204)
    async def like(likes: Likes) -> None:
        try:
            unknown = await recommender.like(likes.userId, likes.itemIds)
        except UnavailableError as error:
            raise ProblemError(503, "preferences cannot be kept now", headers={"retry-after": "1"}) from error
        if unknown:
            raise ProblemError(422, "there are no such items", extra={"itemIds": unknown})

    return routes


def _told(found: Recommendations) -> Response:
    """What the model answers has its types already: it is written, not checked again."""
    return Response(ANSWER.dump_json(found), media_type="application/json")


async def _watch(serving: Serving, interval: float) -> None:
    if interval:
        await serving.watch(interval)
