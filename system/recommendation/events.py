"""recommendation-svc's place on the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from system.kit import background
from system.kit.bus import Bus
from system.kit.store import Store
from system.recommendation.bought import EVENT, Bought, Purchased
from system.recommendation.recommender import SERVICE, Recommender
from system.recommendation.retraining import Retraining


@dataclass(frozen=True)
class Sources:
    """Times in seconds."""

    store_url: str
    gateway_cache_url: str
    retrain_quiet: float
    retrain_longest: float


@asynccontextmanager
async def consuming(bus: Bus, sources: Sources, recommender: Recommender) -> AsyncIterator[None]:
    """Learns of purchases for as long as the block lasts."""
    store = Store(f"{SERVICE}->store", sources.store_url)
    answers = Store(f"{SERVICE}->cache", sources.gateway_cache_url)
    retraining = Retraining(store, sources.retrain_quiet, sources.retrain_longest)
    bus.subscribe(EVENT, Purchased, Bought(store, answers, recommender).handle)
    async with background.running(retraining.run()), bus:
        yield
    await store.close()
    await answers.close()
