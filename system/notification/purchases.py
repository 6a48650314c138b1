"""`user.purchased`, as it becomes a mail to be sent."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from system.kit import signals, telemetry
from system.kit.bus import Received
from system.kit.consumer import Handled
from system.notification.jobs import Job, Jobs

EVENT = "user.purchased"


class Purchased(BaseModel):
    """What this service reads of the event; there may be more in it."""

    userId: Annotated[str, Field(min_length=1, max_length=128)]
    itemId: Annotated[str, Field(min_length=1, max_length=64)]
    quantity: Annotated[int, Field(ge=1)] = 1
    occurredAt: AwareDatetime


class Purchases:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def handle(self, purchased: Purchased, received: Received) -> Handled:
        job = Job(
            id=received.message_id,
            user=purchased.userId,
            item=purchased.itemId,
            quantity=purchased.quantity,
            occurred=purchased.occurredAt,
            headers=telemetry.outgoing_headers(),
        )
        new = await self._jobs.put(job)
        telemetry.logger("queue").info(signals.LOG_NOTIFICATION, mailId=str(job.id), new=new)
        return "done" if new else "duplicate"
