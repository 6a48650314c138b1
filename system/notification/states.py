"""What notification-svc tells itself through its queue, for the verification of contracts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

from fastapi import FastAPI

from system.kit.bus import Received
from system.kit.states import Make
from system.notification.jobs import Job, Jobs
from system.notification.purchases import EVENT, Purchased, Purchases


class _Kept:
    """A queue that nobody works on."""

    text = b""

    async def put(self, job: Job) -> bool:
        self.text = job.model_dump_json().encode()
        return True


async def _job(_app: FastAPI) -> bytes:
    kept = _Kept()
    purchased = Purchased(userId=str(uuid4()), itemId="item-042", quantity=2, occurredAt=datetime.now(UTC))
    await Purchases(cast("Jobs", kept)).handle(purchased, Received(EVENT, "", uuid4()))
    return kept.text


MESSAGES: Mapping[str, Make] = {"a mail to be sent": _job}
