"""People with accounts: signed up by the first load of a system, signed in by each.

As many as it takes for none of them to meet the limits of one person at the rates of the profiles here:
a dozen, and some.
"""

from __future__ import annotations

import itertools
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from locust import events
from locust.env import Environment

COUNT = 16
PASSWORD = "nobody guesses this"  # noqa: S105 - of accounts that live as long as a test system
UNKNOWN = 401
# A token is not used up to its last second.
SPARE_SECONDS = 60.0


@dataclass
class Account:
    host: str
    email: str
    token: str = ""
    until: float = 0.0

    @property
    def headers(self) -> dict[str, str]:
        if time.monotonic() > self.until:
            self.sign_in()
        return {"authorization": f"Bearer {self.token}"}

    def sign_in(self) -> None:
        """Signs up where there is no such account yet."""
        asked = {"email": self.email, "password": PASSWORD}
        try:
            found = post(f"{self.host}/api/users/login", asked)
        except urllib.error.HTTPError as error:
            if error.code != UNKNOWN:
                raise
            post(f"{self.host}/api/users", {**asked, "name": "A test"})
            found = post(f"{self.host}/api/users/login", asked)
        self.token = found["access_token"]
        self.until = time.monotonic() + found["expires_in"] - SPARE_SECONDS


ACCOUNTS: list[Account] = []


class Turns:
    """The accounts in turn. One for each class of users, so that all accounts do the same as often."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def next(self) -> Account:
        return ACCOUNTS[next(self._numbers) % len(ACCOUNTS)]


@events.test_start.add_listener
def open_accounts(environment: Environment, **_: Any) -> None:
    if not ACCOUNTS:
        opened = [Account(str(environment.host), f"load-{number}@example.org") for number in range(COUNT)]
        for account in opened:
            account.sign_in()
        ACCOUNTS.extend(opened)


def post(url: str, body: dict[str, str], headers: Mapping[str, str] = {}) -> dict[str, Any]:
    given = {"content-type": "application/json", **headers}
    return _answered(urllib.request.Request(url, json.dumps(body).encode(), given))  # noqa: S310


def get(url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    return _answered(urllib.request.Request(url, headers=dict(headers)))  # noqa: S310


def _answered(request: urllib.request.Request) -> dict[str, Any]:
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found
