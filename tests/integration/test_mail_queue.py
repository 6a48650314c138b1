"""The queue of mails on a real Redis, with two workers of whom one stalls."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import redis
from servers import Server

from system.kit.store import Store
from system.notification.jobs import DEAD, GROUP, LATER, STREAM, Job, Jobs, Taken

# Seconds after which a job that was not settled is another's.
CLAIM = 0.05


@pytest.fixture
async def store(redis_server: Server) -> AsyncIterator[Store]:
    url = f"redis://127.0.0.1:{redis_server.port}/7"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    made = Store("notification-svc->store", url, timeout=2)
    yield made
    await made.close()


async def queued(store: Store, *workers: str) -> tuple[Job, list[Jobs]]:
    """A job in the queue, and the queue as each of the workers sees it."""
    jobs = [Jobs(store, worker, CLAIM) for worker in workers]
    await jobs[0].prepare()
    job = Job(id=uuid.uuid4(), user="u", item="item-7", occurred=datetime.now(UTC))
    assert await jobs[0].put(job)
    return job, jobs


async def claimed(jobs: Jobs) -> Taken:
    async with asyncio.timeout(5):
        while True:
            if taken := await jobs.take(CLAIM):
                return taken


async def counts(store: Store) -> tuple[int, int, int, int]:
    """How many mails are in the stream, somebody's, waiting and given up."""

    async def ask(client: object) -> tuple[int, int, int, int]:
        assert isinstance(client, redis.asyncio.Redis)
        pending = await client.xpending(STREAM, GROUP)
        return await client.xlen(STREAM), pending["pending"], await client.zcard(LATER), await client.hlen(DEAD)

    return await store.ask(ask)


# The same name twice: a worker that was started again, or two tasks of one process.
@pytest.mark.parametrize("second", ["b", "a"])
@pytest.mark.parametrize("settle", ["done", "later", "bury"])
async def test_who_stalled_cannot_settle_what_has_become_another_s(store: Store, second: str, settle: str) -> None:
    job, (stalled, quick) = await queued(store, "a", second)
    late = await claimed(stalled)
    again = await claimed(quick)
    assert (late.deliveries, again.deliveries, again.entry) == (1, 2, late.entry)

    async def settled(jobs: Jobs, taken: Taken) -> bool:
        match settle:
            case "done":
                return await jobs.done(taken)
            case "later":
                return await jobs.later(taken, job, 60)
            case _:
                return await jobs.bury(taken, str(job.id), job.model_dump_json())

    assert not await settled(stalled, late)
    assert await counts(store) == (1, 1, 0, 0)
    assert await settled(quick, again)
    assert await counts(store) == (0, 0, int(settle == "later"), int(settle == "bury"))
    assert not await settled(quick, again)


async def test_an_event_is_queued_once(store: Store) -> None:
    job, (jobs,) = await queued(store, "a")
    assert not await jobs.put(job)
    assert await counts(store) == (1, 0, 0, 0)


async def test_what_a_killed_process_left_is_there_at_once_for_the_next_of_its_name(store: Store) -> None:
    job, (killed, other) = await queued(store, "a", "b")
    started = Jobs(store, "a", claim=60)
    assert await killed.take(CLAIM)
    assert await Jobs(store, "b", claim=60).orphaned() == 0
    assert await started.take(CLAIM) is None
    assert await Jobs(store, "a", claim=60).orphaned() == 1
    again = await Jobs(store, "a", claim=60).take(CLAIM)
    assert again
    assert (again.text, again.deliveries) == (job.model_dump_json(), 2)
    assert await other.done(again)
    assert await Jobs(store, "a", claim=60).orphaned() == 0
