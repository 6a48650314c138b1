"""What a worker of notification-svc relies on in its queue, which an older or a newer one may have filled."""

from __future__ import annotations

import asyncio
import time
from email.message import EmailMessage
from unittest.mock import AsyncMock, Mock

from pact import match

from system.kit.client import Answer
from system.notification.jobs import Jobs, Taken
from system.notification.recommendations import Recommended
from system.notification.worker import Insistence, Worker

CONSUMER = PROVIDER = "notification-svc"
MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"


def test_a_mail_to_be_sent_is_sent(pact) -> None:
    job = {
        "id": match.uuid("3f0a1c52-9d1e-4b6f-8a57-1f0b5a7c2e36"),
        "user": match.str("5b1e7a52-6f0e-4f8e-9d43-0a4c5f6d7e86"),
        "item": match.str("item-042"),
        "quantity": match.int(2),
        "occurred": match.regex("2026-01-01T00:00:00Z", regex=MOMENT),
        "attempts": match.int(0),
        "waits": match.int(0),
    }
    pact.upon_receiving("a mail to be sent", "Async").with_body(job, "application/json")
    sent: list[EmailMessage] = []
    jobs = Mock(spec=Jobs, done=AsyncMock(return_value=True))
    address = Answer(200, {}, b'{"email": "buyer@contracts.example", "name": "Pat"}')
    users = Mock(call=AsyncMock(return_value=address))
    told = Mock(ask=AsyncMock(return_value=Recommended(source="popular", items=[])))
    post = Mock(send=AsyncMock(side_effect=sent.append))
    worker = Worker(jobs, users, told, post, Insistence(1, 1, 1), "shop@gameday.example", 5, 5, 5)

    def take(body: str | bytes | None, _metadata: dict[str, object]) -> None:
        text = body.decode() if isinstance(body, bytes) else body or ""
        asyncio.run(worker.work(Taken("1-0", text, 1, time.monotonic())))

    pact.verify(take, "Async")
    assert [(mail["Subject"], mail["Message-ID"]) for mail in sent] == [
        ("Your purchase of item-042", "<3f0a1c52-9d1e-4b6f-8a57-1f0b5a7c2e36@notification-svc>")
    ]
    jobs.done.assert_awaited_once()
