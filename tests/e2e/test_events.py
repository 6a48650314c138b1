"""What happens after the answer was sent, in the whole system: tasks, purchases, the audit trail, dead letters."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aio_pika
import httpx
import pytest
from program import ROOT, Gameday, until

from system.kit import signals, topology
from system.kit.decisions import CHATTED, MODERATED, RECOMMENDED, SEARCHED
from system.kit.tasks import EVENT
from system.kit.webhook import Secrets

pytestmark = pytest.mark.alone

TASKS = topology.queue("ai-worker", EVENT)
WITHIN = 30.0
# The gateway counts how often it is asked: at this pace it does not refuse.
LIMITED = 0.7


@dataclass(frozen=True)
class Member:
    """Somebody with an account. All that one of them does has one correlation id."""

    id: str
    email: str
    correlation: str
    http: httpx.Client


@pytest.fixture
def member(wired: Gameday) -> Iterator[Member]:
    correlation = f"story-{uuid.uuid4().hex}"
    url = f"http://127.0.0.1:{wired.port}"
    with httpx.Client(base_url=url, timeout=20, trust_env=False, headers={"x-correlation-id": correlation}) as http:
        account = {"email": f"{uuid.uuid4().hex}@example.com", "password": "correct horse battery"}
        profile = http.post("/api/users", json={**account, "name": "Ada"})
        assert profile.status_code == 201, profile.text
        token = http.post("/api/users/login", json=account).json()["access_token"]
        http.headers["authorization"] = f"Bearer {token}"
        yield Member(profile.json()["id"], account["email"], correlation, http)


def url(gameday: Gameday, service: str) -> str:
    return str(gameday.services()[service]["url"])


def broker(gameday: Gameday) -> str:
    return f"amqp://{url(gameday, 'rabbitmq')}/"


def logged(gameday: Gameday, service: str, correlation: str) -> list[dict[str, Any]]:
    lines = gameday.run("logs", service).out.splitlines()
    return [json.loads(line[line.index("{") :]) for line in lines if f'"correlationId":"{correlation}"' in line]


def handled(gameday: Gameday, service: str, member: Member) -> dict[str, list[str]]:
    """The ids of the messages of the member's work that the service has handled, by queue."""
    found: dict[str, list[str]] = {}
    for each in logged(gameday, service, member.correlation):
        if each["event"] == signals.LOG_CONSUMED and each["outcome"] == "done":
            found.setdefault(each["queue"], []).append(each["messageId"])
    return found


def connected(gameday: Gameday, service: str) -> bool:
    """Whether it has found the broker: it looks every two seconds, and is healthy without one."""
    lines = gameday.run("logs", service).out.splitlines()
    said = [line for line in lines if '"event":"broker"' in line]
    return bool(said) and '"action":"connected"' in said[-1]


def crossed(gameday: Gameday, correlation: str, *services: str) -> None:
    """Waits until the log of each of the services tells of the work of that id."""
    for service in services:
        until(lambda name=service: logged(gameday, name, correlation), 10, f"{service} logs {correlation}")  # type: ignore[misc]


def document(member: Member) -> str:
    made = member.http.post("/api/content", json={"prompt": "Tell me about tents"})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def audited(gameday: Gameday, member: Member) -> dict[str, list[dict[str, Any]]]:
    """What the audit trail has of the member's decisions, by their type, the latest first."""
    answer = httpx.get(f"{url(gameday, 'audit-svc')}/decisions", params={"user": member.id}, trust_env=False)
    found: dict[str, list[dict[str, Any]]] = {}
    for each in answer.json()["decisions"]:
        found.setdefault(each["type"], []).append(each)
    return found


def mails(gameday: Gameday, member: Member) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(
        f"{url(gameday, 'mail-sink')}/mails", params={"to": member.email}, trust_env=False
    ).json()
    return found


def asked_by_grpc(gameday: Gameday, member: Member) -> bool:
    return any("rpc" in each for each in logged(gameday, "recommendation-svc", member.correlation))


def like(gameday: Gameday, member: Member, item: str) -> None:
    """From now on the model knows something of the member, so that its answers are kept for a while."""
    wanted = {"userId": member.id, "itemIds": [item]}
    liked = httpx.post(f"{url(gameday, 'recommendation-svc')}/preferences", json=wanted, trust_env=False)
    assert liked.status_code == 204, liked.text


def recommended(member: Member) -> tuple[str, list[str]]:
    """Whether the answer was a kept one, and its items."""
    answer = member.http.post("/api/recommend", json={"limit": 5})
    assert answer.json()["source"] == "model", answer.text
    return answer.headers["x-cache"], [item["id"] for item in answer.json()["items"]]


def dead(gameday: Gameday, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "BROKER_URL": broker(gameday)}
    command = [sys.executable, "-m", "system.kit.dead", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def set_aside(gameday: Gameday) -> dict[str, dict[str, Any]]:
    """What `show` prints of the dead tasks, by their id."""
    shown = [json.loads(line) for line in dead(gameday, "show", TASKS).splitlines()]
    return {each["messageId"]: each for each in shown}


def test_a_summary_is_made_by_the_worker_and_told_to_the_gateway(wired: Gameday, member: Member) -> None:
    wanted = {"type": "generate-summary", "documentId": document(member)}
    until(lambda: connected(wired, "api-gateway"), WITHIN, "the gateway has found the broker")
    taken = member.http.post("/api/tasks", json=wanted)
    assert taken.status_code == 202, taken.text
    shown = until(
        lambda: (found := member.http.get(taken.headers["location"]).json())["state"] != "queued" and found,
        WITHIN,
        "the task is done",
        every=LIMITED,
    )
    assert (shown["state"], shown["error"]) == ("succeeded", None)
    assert "tents" in shown["summary"]
    crossed(wired, member.correlation, "api-gateway", "ai-worker", "content-svc")
    (told,) = [
        each for each in logged(wired, "api-gateway", member.correlation) if each.get("route") == "/webhook/summary"
    ]
    assert told["status"] == 204


def test_a_callback_that_the_worker_did_not_sign_changes_nothing(wired: Gameday, member: Member) -> None:
    task = str(uuid.uuid4())
    forged = {"taskId": task, "documentId": task, "status": "succeeded", "finishedAt": "2026-01-01T00:00:00Z"}
    body = json.dumps(forged).encode()
    headers = Secrets((b"not the secret of this system" * 2,)).sign(task, int(time.time()), body)
    assert member.http.post("/webhook/summary", content=body, headers=headers).status_code == 401
    assert member.http.post("/webhook/summary", content=body).status_code == 401


def test_a_purchase_changes_the_next_recommendations_and_one_id_finds_all_of_it(wired: Gameday, member: Member) -> None:
    like(wired, member, "item-041")
    _, before = recommended(member)
    kept = until(lambda: (found := recommended(member))[0] == "hit" and found[1], WITHIN, "it is kept", every=LIMITED)
    assert kept == before
    # Not by the gateway, which would drop what it keeps by itself: the event alone has to do it.
    headers = {"authorization": member.http.headers["authorization"], "x-correlation-id": member.correlation}
    bought = httpx.post(
        f"{url(wired, 'user-svc')}/users/me/purchases", json={"itemId": before[0]}, headers=headers, trust_env=False
    )
    assert bought.status_code == 201, bought.text
    until(lambda: handled(wired, "recommendation-svc", member), WITHIN, "the purchase is heard of")
    cached, after = recommended(member)
    assert cached == "miss", "the kept answer was given again"
    assert before[0] not in after
    decision = until(
        lambda: next(
            (each for each in audited(wired, member).get(RECOMMENDED, []) if each["output"]["items"] == after), None
        ),
        WITHIN,
        "the decision stands in the audit trail",
    )
    assert 0 < decision["confidence"] <= 1
    (mail,) = until(lambda: mails(wired, member), WITHIN, "the mail is in the sink")
    assert before[0] in mail["subject"]
    assert "Recommended for you" in mail["text"]
    assert len(re.findall(r"\(item-\d+\)", mail["text"])) == 5
    crossed(
        wired,
        member.correlation,
        *("api-gateway", "user-svc", "recommendation-svc", "audit-svc", "notification-svc", "mail-sink"),
    )
    until(lambda: asked_by_grpc(wired, member), 10, "recommendation-svc logs that it was asked by gRPC")
    assert handled(wired, "notification-svc", member).keys() == {"notification-svc.user.purchased"}
    assert handled(wired, "recommendation-svc", member).keys() == {"recommendation-svc.user.purchased"}
    assert decision["id"] in handled(wired, "audit-svc", member)["audit-svc.ai-decisions"]


def test_what_four_services_decided_stands_in_the_audit_trail(wired: Gameday, member: Member) -> None:
    like(wired, member, "item-041")
    recommended(member)
    assert member.http.get("/api/search", params={"q": "waterproof tent"}).json()["source"] == "hybrid"
    assert "event: done" in member.http.post("/api/chat", json={"message": "Which tent is light?"}).text
    document(member)
    # The document was written by chat-svc and checked by moderation-svc.
    expected = {RECOMMENDED: 1, SEARCHED: 1, CHATTED: 2, MODERATED: 1}
    found = until(
        lambda: (
            (kept := audited(wired, member)) and {kind: len(each) for kind, each in kept.items()} == expected and kept
        ),
        WITHIN,
        "the decisions of all four stand in the audit trail, each once",
    )
    for each in (decision for decisions in found.values() for decision in decisions):
        assert each["model"]
        assert 0 <= each["confidence"] <= 1, each
    assert httpx.get(f"{url(wired, 'audit-svc')}/verification", trust_env=False).json()["sound"] is True
    crossed(wired, member.correlation, "recommendation-svc", "search-svc", "chat-svc", "moderation-svc", "audit-svc")


def test_tasks_that_nobody_can_do_are_set_aside_shown_and_brought_back(wired: Gameday, member: Member) -> None:
    told = {"id": uuid.uuid4(), "type": "generate-summary", "documentId": uuid.uuid4()}
    told |= {"callbackUrl": "http://api-gateway:3000/webhook/summary"}
    wrong: dict[str, tuple[dict[str, object] | bytes, str]] = {
        "unknown type": (told | {"type": "mine-bitcoin"}, "unknown task type 'mine-bitcoin'"),
        "metadata": (told | {"callbackUrl": "http://169.254.169.254/latest/"}, "has to be https"),
        "loopback": (told | {"callbackUrl": "https://2130706433/"}, "no IPv4 address"),
        "a field too few": (b'{"type": "generate-summary"}', "documentId: Field required"),
        "no JSON": (b"{", "Invalid JSON"),
        "too large": (b'{"type": "' + b"x" * 300_000 + b'"}', "262144 is the most"),
    }
    ids = {name: str(uuid.uuid4()) for name in wrong}
    bodies = {
        ids[name]: body if isinstance(body, bytes) else json.dumps(body | {"id": ids[name]}, default=str).encode()
        for name, (body, _) in wrong.items()
    }
    asyncio.run(publish(broker(wired), bodies))
    try:
        shown = until(
            lambda: (found := set_aside(wired)).keys() >= bodies.keys() and found, WITHIN, "all of them are set aside"
        )
        for name, (_, why) in wrong.items():
            assert why in shown[ids[name]]["error"], name
            assert shown[ids[name]]["reason"] == "poison"
        assert f"{len(shown):>7}  {TASKS}" in dead(wired, "list")
        one = ids["unknown type"]
        assert "1 brought back" in dead(wired, "replay", TASKS, "--id", one)
        # It was taken again, and still nobody can do it.
        until(lambda: set_aside(wired).keys() >= bodies.keys(), WITHIN, "it is set aside again")
    finally:
        asyncio.run(forget(broker(wired)))


async def publish(url: str, bodies: dict[str, bytes]) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await topology.declare(channel, [EVENT], ())
        exchange = await channel.get_exchange(topology.EXCHANGE)
        for id_, body in bodies.items():
            await exchange.publish(aio_pika.Message(body, message_id=id_), EVENT)


async def forget(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        await (await (await connection.channel()).get_queue(topology.dead(TASKS))).purge()
