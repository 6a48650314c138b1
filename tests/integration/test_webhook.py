"""Notifications are taken from whoever holds the token, and from nobody else."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gameday.journal import Journal, read
from gameday.webhook import Webhook

ALERT = {
    "status": "firing",
    "labels": {"alertname": "Down", "window": "1h"},
    "annotations": {"summary": "it is down"},
    "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://p",
}


@pytest.fixture
async def webhook(tmp_path: Path) -> AsyncIterator[Webhook]:
    hook = Webhook(Journal(tmp_path / "alerts.jsonl"))
    await hook.start()
    yield hook
    await hook.stop()


async def post(url: str, body: object, **headers: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return (await client.post(url, content=content, headers=headers)).status_code


async def test_each_alert_of_a_notification_becomes_a_record(webhook: Webhook, tmp_path: Path) -> None:
    resolved = ALERT | {"status": "resolved", "endsAt": "2026-01-01T00:01:00Z"}
    assert await post(f"http://{webhook.address}/alerts", {"alerts": [ALERT, resolved]}) == 200
    first, second = read(tmp_path / "alerts.jsonl").records
    assert first.kind == "alert"
    assert first.data == {
        "name": "Down",
        "status": "firing",
        "labels": {"alertname": "Down", "window": "1h"},
        "annotations": {"summary": "it is down"},
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
    }
    assert second.data["status"] == "resolved"


async def test_strangers_are_turned_away(webhook: Webhook, tmp_path: Path) -> None:
    address = webhook.address.rpartition("@")[2]
    forged = "Basic " + base64.b64encode(b"gameday:guess").decode()
    assert await post(f"http://{address}/alerts", {"alerts": [ALERT]}) == 403
    assert await post(f"http://{address}/alerts", {"alerts": [ALERT]}, authorization=forged) == 403
    assert await post(f"http://{webhook.address}/alerts", {"alerts": [ALERT]}, host="evil.example") == 403
    assert read(tmp_path / "alerts.jsonl").records == ()


async def test_what_is_no_notification(webhook: Webhook, tmp_path: Path) -> None:
    assert await post(f"http://{webhook.address}/other", {"alerts": [ALERT]}) == 404
    for body in (b"{", [], {"alert": []}, {"alerts": [1]}):
        assert await post(f"http://{webhook.address}/alerts", body) == 400
    assert read(tmp_path / "alerts.jsonl").records == ()
