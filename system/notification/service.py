"""notification-svc: hears of purchases, queues a mail for each in Redis, and sends it until it is sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import FastAPI

from system.kit import app as kit
from system.kit import background, signals
from system.kit import states as kit_states
from system.kit.breaker import Breaker, CircuitBreaker, Consecutive, Unguarded
from system.kit.bus import Bus
from system.kit.client import Edge
from system.kit.store import Store
from system.notification import recommendations, routes, states
from system.notification.jobs import QUEUES, Jobs
from system.notification.post import SERVICE, Post
from system.notification.purchases import EVENT, Purchased, Purchases
from system.notification.recommendations import Recommendations
from system.notification.settings import NotificationSettings
from system.notification.worker import BLOCK_SECONDS, Insistence, Worker

USERS = "notification-svc->user-svc"
# Beyond what the store itself waits for a job.
SLACK_SECONDS = 0.5


def make(settings: NotificationSettings) -> FastAPI:
    signals.announce_notifications(QUEUES.values())
    store = Store(f"{SERVICE}->store", settings.store_url, timeout=BLOCK_SECONDS + SLACK_SECONDS)
    jobs = Jobs(store, f"{socket.gethostname()}:{settings.port}", settings.mail_claim_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        told = Recommendations(
            urlsplit(settings.recommendation_grpc_url).netloc,
            _breaker(recommendations.EDGE, settings),
            settings.recommendation_limit,
            settings.recommendation_timeout_seconds,
        )
        bus = Bus(SERVICE, settings.broker_url, retry_seconds=settings.bus_retry_seconds)
        bus.subscribe(EVENT, Purchased, Purchases(jobs).handle)
        users = Edge(USERS, settings.user_url, _breaker(USERS, settings))
        async with users, _working(_worker(settings, jobs, users, told), settings.mail_workers), bus:
            yield
        await told.close()
        await store.close()

    contract = kit_states.routers(settings, {}, states.MESSAGES)
    return kit.create(SERVICE, settings, routers=[routes.make(jobs), *contract], lifespan=lifespan)


@asynccontextmanager
async def _working(worker: Worker, workers: int) -> AsyncIterator[None]:
    """Mails that are under way when the block ends are ended."""
    await worker.begin()
    stopping = asyncio.Event()
    running = [asyncio.create_task(worker.run(stopping), name=f"mail-{number}") for number in range(workers)]
    async with background.running(worker.keep_time()):
        yield
        stopping.set()
        await asyncio.gather(*running)


def _worker(settings: NotificationSettings, jobs: Jobs, users: Edge, told: Recommendations) -> Worker:
    address = urlsplit(settings.smtp_url)
    assert address.hostname  # noqa: S101  the settings have looked
    assert address.port  # noqa: S101
    return Worker(
        jobs,
        users,
        told,
        Post(address.hostname, address.port, settings.smtp_timeout_seconds),
        Insistence(settings.mail_attempts, settings.mail_retry_seconds, settings.mail_longest_wait_seconds),
        settings.mail_from,
        settings.user_timeout_seconds,
        settings.mail_job_seconds,
        settings.mail_claim_seconds,
    )


def _breaker(edge: str, settings: NotificationSettings) -> Breaker:
    if not settings.breaker_enabled:
        return Unguarded(edge)
    return CircuitBreaker(edge, Consecutive(settings.breaker_failures), settings.breaker_reset_seconds)
