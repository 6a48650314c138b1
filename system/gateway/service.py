"""api-gateway: the one door of the system."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from system.gateway import edges, openapi, policies, routes, states, websocket
from system.gateway.auth import Verifier
from system.gateway.cache import Cache
from system.gateway.front import FrontDoor
from system.gateway.gateway import Gateway
from system.gateway.limits import Limiter
from system.gateway.recommendations import Popular, Recommendations, Recommender
from system.gateway.searching import Found, Searcher
from system.gateway.settings import GatewaySettings
from system.gateway.taskbook import TaskBook
from system.gateway.tasks import Tasks
from system.kit import app as kit
from system.kit import background, signals
from system.kit import states as kit_states
from system.kit.bus import Bus
from system.kit.store import Store
from system.kit.tasks import EVENT
from system.kit.webhook import Secrets


def make(settings: GatewaySettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        redis = Store(edges.CACHE, settings.cache_url, falls_back=True)
        store = Store(edges.STORE, settings.store_url, falls_back=True)
        async with edges.connect(settings) as ways:
            verifier = Verifier(ways.users, settings.keys_refresh_seconds)
            popular = Popular(ways.recommendation, settings)
            cache: Cache[Recommendations] = Cache(redis, policies.RECOMMEND.name, settings.recommend_cache_seconds)
            searcher = Searcher(ways.search, popular)
            searches: Cache[Found] = Cache(redis, policies.SEARCH.name, settings.search_cache_seconds)
            recommender = Recommender(ways.recommendation, popular)
            limiter = Limiter(store, settings.rate_limit_factor)
            async with _tasks(settings, store, ways) as tasks:
                app.state.gateway = Gateway(
                    settings, ways, redis, verifier, limiter, recommender, cache, searcher, searches, tasks
                )
                async with background.running(verifier.keep_fresh(), popular.keep_fresh()):
                    yield
        await redis.close()
        await store.close()

    contract = kit_states.routers(settings, states.STATES, states.MESSAGES)
    app = kit.create(
        "api-gateway",
        settings,
        routers=[websocket.router, *contract],
        lifespan=lifespan,
        outermost=True,
        front=lambda behind: FrontDoor(behind, routes.ROUTES),
    )
    openapi.describe(app, routes.ROUTES)
    if settings.cors_origins:
        origins = settings.cors_origins.split(",")
        app.door = CORSMiddleware(app.door, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    return app


@asynccontextmanager
async def _tasks(settings: GatewaySettings, store: Store, ways: edges.Edges) -> AsyncIterator[Tasks | None]:
    if not settings.webhook_secret:
        yield None
        return
    signals.announce_webhooks()
    book, secrets = TaskBook(store, settings.task_seconds), Secrets.read(settings.webhook_secret)
    async with Bus("api-gateway", settings.broker_url, publishes=[EVENT]) as bus:
        yield Tasks(book, bus, ways.content, secrets, settings.webhook_url)
