"""Takes one mail after another from the queue and sends it, or says when and whether it is tried again."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass

from opentelemetry.trace import SpanKind, Status, StatusCode
from pydantic import BaseModel, ValidationError

from system.kit import deadline, signals, telemetry
from system.kit.client import Edge, UnavailableError
from system.notification import letters
from system.notification.jobs import Job, Jobs, Taken
from system.notification.post import Post, RefusedError
from system.notification.recommendations import Recommendations

GONE = 404
GROWTH = 3.0
BLOCK_SECONDS = 0.5
PAUSE_SECONDS = 0.2
MEASURE_EVERY = 5


class Recipient(BaseModel):
    email: str
    name: str


@dataclass(frozen=True)
class Insistence:
    """How often a mail is tried, and the seconds before the second attempt and at most between two."""

    attempts: int
    wait: float
    longest: float

    def after(self, tries: int) -> float:
        """Longer each time, with jitter."""
        return min(self.wait * GROWTH ** min(tries - 1, 20), self.longest) * random.uniform(0.5, 1)  # noqa: S311


@dataclass(frozen=True)
class Worker:
    """`job_seconds` is what a mail may take; `settle_seconds` for how long the queue is told of it, if need be."""

    jobs: Jobs
    users: Edge
    recommendations: Recommendations
    post: Post
    insistence: Insistence
    sender: str
    user_seconds: float
    job_seconds: float
    settle_seconds: float

    async def begin(self) -> None:
        """Before any of it runs. What cannot be let go of now is claimed later."""
        await self._prepare()
        with suppress(UnavailableError):
            await self.jobs.orphaned()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; what is under way then is ended."""
        await self._prepare()
        while not stopping.is_set():
            try:
                taken = await self.jobs.take(BLOCK_SECONDS)
            except UnavailableError:
                # Counted and logged by the store. The group may be gone with it.
                await asyncio.sleep(PAUSE_SECONDS)
                await self._prepare()
                continue
            if taken:
                await self.work(taken)

    async def keep_time(self) -> None:
        """Brings back what has waited long enough, and measures the queues. For as long as the service runs."""
        rounds = 0
        while True:
            try:
                await self.jobs.due()
                if rounds % MEASURE_EVERY == 0:
                    for name, depth in (await self.jobs.depths()).items():
                        signals.QUEUE_MESSAGES.labels(name).set(depth)
            except UnavailableError:
                pass
            rounds += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def work(self, taken: Taken) -> None:
        try:
            job = Job.model_validate_json(taken.text)
        except ValidationError:
            await self._settle(taken, taken.entry, "dead", "not a job")
            return
        telemetry.CORRELATION_ID.set(telemetry.correlation_id(job.headers.get(telemetry.CORRELATION_HEADER)))
        # From when it was asked for: a worker that stalled on the way to here has a mail that may be another's by now.
        left = max(0.0, taken.asked + self.job_seconds - time.monotonic())
        deadline.clear()
        deadline.within(left)
        context = telemetry.received_context((name.encode(), text.encode()) for name, text in job.headers.items())
        with telemetry.TRACER.start_as_current_span("mail process", context=context, kind=SpanKind.CONSUMER) as span:
            outcome, job = await self._tried(job, left)
            if job.error and outcome not in ("sent", "nobody"):
                span.set_status(Status(StatusCode.ERROR, job.error))
            await self._settle(taken, job, outcome, job.error)

    async def _tried(self, job: Job, seconds: float) -> tuple[signals.Attempt, Job]:
        try:
            async with deadline.Timeout(seconds):
                return await self._sent(job), job
        except RefusedError as error:
            return "dead", job.model_copy(update={"attempts": job.attempts + 1, "error": f"refused: {error}"})
        except (UnavailableError, TimeoutError) as error:
            # It says nothing against the mail.
            return "waiting", job.model_copy(update={"waits": job.waits + 1, "error": _words(error)})
        except Exception as error:  # noqa: BLE001  whatever it is, the mail must not be lost
            tried = job.model_copy(update={"attempts": job.attempts + 1, "error": _words(error)})
            return ("dead" if tried.attempts >= self.insistence.attempts else "retried"), tried

    async def _sent(self, job: Job) -> signals.Attempt:
        recipient = await self._recipient(job.user)
        if recipient is None:
            return "nobody"
        recommended = await self.recommendations.ask(job.user)
        message = letters.purchase(job, self.sender, recipient.email, recipient.name, recommended)
        await self.post.send(message)
        return "sent"

    async def _recipient(self, user: str) -> Recipient | None:
        """None for a user who is gone."""
        path = f"/internal/users/{user}/address"
        answer = await self.users.call("GET", path, timeout=self.user_seconds, idempotent=True)
        if answer.status == GONE:
            return None
        if answer.status >= 300:  # noqa: PLR2004  whatever it is, it is no address
            raise ValueError(f"user-svc answers {answer.status} for the address")
        return Recipient.model_validate_json(answer.body)

    async def _settle(self, taken: Taken, job: Job | str, outcome: signals.Attempt, error: str | None) -> None:
        """Tells the queue, again and again while it is not there: a mail that is sent must not be sent by the next.

        `left` is what another worker settles. Whether an answer that was lost had said so cannot be known.
        """
        ends, sure = asyncio.get_running_loop().time() + self.settle_seconds, True
        while True:
            try:
                if not await self._told(taken, job, outcome) and sure:
                    outcome = "left"
                break
            except UnavailableError:
                if asyncio.get_running_loop().time() >= ends:
                    outcome = "left"
                    break
                sure = False
                await asyncio.sleep(PAUSE_SECONDS)
        signals.NOTIFICATIONS.labels(outcome).inc()
        identifier = str(job.id) if isinstance(job, Job) else job
        log = telemetry.logger("mail").bind(mailId=identifier, outcome=outcome)
        log.info(signals.LOG_NOTIFICATION, **({"error": error} if error else {}))

    async def _told(self, taken: Taken, job: Job | str, outcome: signals.Attempt) -> bool:
        """Whether the job was still this worker's."""
        if isinstance(job, str):
            return await self.jobs.bury(taken, job, taken.text)
        if outcome == "dead":
            return await self.jobs.bury(taken, str(job.id), job.model_dump_json())
        if outcome in ("waiting", "retried"):
            return await self.jobs.later(taken, job, self.insistence.after(job.attempts + job.waits))
        return await self.jobs.done(taken)

    async def _prepare(self) -> None:
        try:
            await self.jobs.prepare()
        except UnavailableError:
            return


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
