"""People who write with the assistant's help, and have what was written summed up."""

from __future__ import annotations

import time
import uuid
from typing import Any

from accounts import ACCOUNTS, Account, Turns, get, post
from gevent.pool import Pool
from locust import FastHttpUser, events, task
from locust.env import Environment

WANTED = {"title": "Tents", "prompt": "Write two sentences about tents for storms."}
WRITTEN_SECONDS = 60.0
AT_ONCE = 8

DOCUMENTS: dict[str, str] = {}


class Writer(FastHttpUser):
    """Has a text written, checked and put where it is found."""

    people = Turns()

    @task
    def write(self) -> None:
        self.client.post("/api/content", json=WANTED, headers=self.people.next().headers)


class Asker(FastHttpUser):
    """Asks for a summary of a text of their own, which is made later."""

    people = Turns()

    @task
    def ask(self) -> None:
        account = self.people.next()
        wanted = {"type": "generate-summary", "documentId": DOCUMENTS[account.email]}
        headers = {**account.headers, "idempotency-key": uuid.uuid4().hex}
        self.client.post("/api/tasks", json=wanted, headers=headers)


@events.test_start.add_listener
def write_documents(environment: Environment, **_: Any) -> None:
    """One for each account, which are open by now: `accounts` was imported first."""
    if not DOCUMENTS and any(issubclass(each, Asker) for each in environment.user_classes):
        DOCUMENTS.update(Pool(AT_ONCE).map(_written, ACCOUNTS))


def _written(account: Account) -> tuple[str, str]:
    found = post(f"{account.host}/api/content", WANTED, account.headers)
    until = time.monotonic() + WRITTEN_SECONDS
    while found["state"] != "published":
        if time.monotonic() > until:
            raise TimeoutError(f"a document is still {found['state']}")
        time.sleep(0.2)
        found = get(f"{account.host}/api/content/{found['id']}", account.headers)
    return account.email, str(found["id"])
