"""What notification-svc relies on in user-svc: what it tells of purchases, and where to write to."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID

from pact import match

from system.kit.bus import Received
from system.notification.jobs import Job, Jobs
from system.notification.purchases import Purchased, Purchases
from system.notification.worker import Insistence, Worker

CONSUMER = "notification-svc"
PROVIDER = "user-svc"
USER = {"userId": "5b1e7a52-6f0e-4f8e-9d43-0a4c5f6d7e85", "email": "buyer@contracts.example", "name": "Pat"}
MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"
MESSAGE = UUID("3f0a1c52-9d1e-4b6f-8a57-1f0b5a7c2e33")


def worker(users: Any) -> Worker:
    return Worker(Mock(), users, Mock(), Mock(), Insistence(1, 1, 1), "shop@gameday.example", 5, 5, 5)


async def test_where_to_write_to(pact, edge_to) -> None:
    (
        pact.upon_receiving("the address of a user")
        .given("a user", **USER)
        .with_request("GET", f"/internal/users/{USER['userId']}/address")
        .will_respond_with(200)
        .with_body({"email": match.str(USER["email"]), "name": match.str("Pat")}, content_type="application/json")
    )
    with pact.serve() as server:
        recipient = await worker(edge_to(str(server.url)))._recipient(USER["userId"])
    assert recipient
    assert (recipient.email, recipient.name) == (USER["email"], "Pat")


async def test_nobody_is_there_to_write_to(pact, edge_to) -> None:
    gone = "00000000-0000-4000-8000-000000000000"
    (
        pact.upon_receiving("the address of a user who is gone")
        .with_request("GET", f"/internal/users/{gone}/address")
        .will_respond_with(404)
    )
    with pact.serve() as server:
        assert await worker(edge_to(str(server.url)))._recipient(gone) is None


def test_a_purchase_becomes_a_mail_to_be_sent(pact) -> None:
    event = {
        "userId": match.uuid(USER["userId"]),
        "itemId": match.str("item-042"),
        "quantity": match.int(2),
        "occurredAt": match.regex("2026-01-01T00:00:00+00:00", regex=MOMENT),
    }
    pact.upon_receiving("a purchase", "Async").with_body(event, "application/json")
    put: list[Job] = []
    jobs = Mock(spec=Jobs, put=AsyncMock(side_effect=put.append))

    def hear(body: str | bytes | None, _metadata: dict[str, object]) -> None:
        purchased = Purchased.model_validate_json(body or b"")
        asyncio.run(Purchases(jobs).handle(purchased, Received("user.purchased", "", MESSAGE)))

    pact.verify(hear, "Async")
    assert [(job.user, job.item, job.quantity) for job in put] == [(USER["userId"], "item-042", 2)]
