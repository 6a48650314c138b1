"""What ai-worker relies on in api-gateway: the tasks that it publishes, and the webhook that hears of their end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID

from pact import match

from system.ai_worker.delivery import Courier
from system.ai_worker.destination import Guard
from system.ai_worker.ledger import Ledger
from system.ai_worker.receivers import Receivers
from system.ai_worker.worker import Insistence, Worker
from system.kit.bus import Received
from system.kit.tasks import Outcome, Task
from system.kit.webhook import Secrets

CONSUMER = "ai-worker"
PROVIDER = "api-gateway"
SECRET = "whsec_YSBzZWNyZXQgZm9yIGRldmVsb3BtZW50IG9ubHk="
OUTCOME = Outcome(
    taskId=UUID("3f0a1c52-9d1e-4b6f-8a57-1f0b5a7c2e31"),
    documentId=UUID("9a7e2f60-14c5-4f6b-8a0d-3a5f8c1b2d44"),
    status="succeeded",
    summary="Boots keep feet dry.",
    model="claude-haiku-4-5",
    finishedAt=datetime(2026, 1, 1, tzinfo=UTC),
)
TOLD = OUTCOME.model_dump(mode="json", exclude_none=True)


def generated(name: str) -> dict[str, str]:
    return {"type": "ProviderState", "expression": f"${{{name}}}"}


async def test_the_end_of_a_task_is_told_with_a_signature(pact) -> None:
    (
        pact.upon_receiving("the end of a task")
        .given("a task is under way", outcome=TOLD)
        .with_request("POST", "/webhook/summary")
        .with_header("webhook-id", str(OUTCOME.taskId))
        .with_header("webhook-timestamp", match.regex("1767225600", regex=r"^\d{10}$"))
        .with_header("webhook-signature", match.regex("v1,c2lnbmVk", regex=r"^v1,[A-Za-z0-9+/]+=*$"))
        .with_body(TOLD, content_type="application/json")
        .with_generators(
            {"header": {"webhook-timestamp": generated("timestamp"), "webhook-signature": generated("signature")}}
        )
        .will_respond_with(204)
    )
    with pact.serve() as server:
        guard = Guard({PROVIDER: str(server.url).rstrip("/")})
        courier = Courier(guard, Receivers([PROVIDER], 5, 1), Secrets.read(SECRET), 5)
        await courier.deliver(f"http://{PROVIDER}/webhook/summary", OUTCOME)


def test_a_task_is_understood(pact) -> None:
    task = {
        "id": match.uuid("3f0a1c52-9d1e-4b6f-8a57-1f0b5a7c2e32"),
        "type": "generate-summary",
        "documentId": match.uuid("9a7e2f60-14c5-4f6b-8a0d-3a5f8c1b2d44"),
        "callbackUrl": match.regex(
            "http://api-gateway:3000/webhook/summary", regex=r"^http://api-gateway:3000/webhook/[a-z]+$"
        ),
    }
    pact.upon_receiving("a task", "Async").with_body(task, "application/json")
    delivered: list[Any] = []

    async def deliver(url: str, outcome: Outcome) -> None:
        delivered.append((url, outcome.documentId))

    async def find(_task: UUID) -> None:
        return None

    guard = Guard({PROVIDER: "http://127.0.0.1:1"})
    nothing = Mock(get=AsyncMock(return_value=None))
    worker = Worker(
        Mock(spec=Ledger, find=find, write=AsyncMock()),
        nothing,
        Mock(),
        guard,
        Mock(spec=Courier, deliver=deliver),
        Insistence(1, 1, 1),
    )

    def take(body: str | bytes | None, _metadata: dict[str, object]) -> None:
        message = Task.model_validate_json(body or b"")
        assert asyncio.run(worker.handle(message, Received("ai-tasks", "", message.id))) == "done"

    pact.verify(take, "Async")
    assert delivered == [("http://api-gateway:3000/webhook/summary", OUTCOME.documentId)]
