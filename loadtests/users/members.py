"""People who are signed in, and what each of them does in the shop."""

from __future__ import annotations

import itertools
import uuid

from accounts import PASSWORD, Turns
from locust import FastHttpUser, task

from gameday import sse


class Member(FastHttpUser):
    """Opens the homepage: greeted by name, with recommendations of their own."""

    people = Turns()

    @task
    def homepage(self) -> None:
        self.client.get("/api/homepage", headers=self.people.next().headers)


class Shopper(FastHttpUser):
    """Wants to see more of what is recommended; seldom as many as before."""

    people = Turns()
    limits = itertools.cycle(range(1, 51))

    @task
    def recommend(self) -> None:
        wanted = {"limit": next(self.limits)}
        self.client.post("/api/recommend", json=wanted, headers=self.people.next().headers)


class Seeker(FastHttpUser):
    """Looks for things that are popular, in words that nobody has used before, so that no kept answer will do."""

    people = Turns()
    things = itertools.cycle(("garden shears", "mechanical keyboard", "espresso machine"))

    @task
    def search(self) -> None:
        words = f"{next(self.things)} {uuid.uuid4().hex[:8]}"
        self.client.get("/api/search", params={"q": words}, headers=self.people.next().headers, name="/api/search")


class Talker(FastHttpUser):
    """Asks the assistant one question, in a conversation of its own."""

    people = Turns()

    @task
    def chat(self) -> None:
        asked = {"message": "Which tent keeps me dry in a storm?"}
        self.client.post("/api/chat", json=asked, headers=self.people.next().headers)


class Known(FastHttpUser):
    """Looks at their own profile."""

    people = Turns()

    @task
    def profile(self) -> None:
        self.client.get("/api/users/me", headers=self.people.next().headers)


class Buyer(FastHttpUser):
    """Buys one thing after another, so that there is always news of it."""

    people = Turns()
    things = itertools.cycle(range(1, 401))

    @task
    def buy(self) -> None:
        bought = {"itemId": f"item-{next(self.things):03}", "priceCents": 1999}
        self.client.post("/api/users/me/purchases", json=bought, headers=self.people.next().headers)


class Returning(FastHttpUser):
    """Signs in."""

    people = Turns()

    @task
    def sign_in(self) -> None:
        account = self.people.next()
        self.client.post("/api/users/login", json={"email": account.email, "password": PASSWORD})


class Conversing(FastHttpUser):
    """Asks the assistant, and asks again in the same conversation."""

    people = Turns()

    @task
    def talk(self) -> None:
        account = self.people.next()
        first = {"message": "I will hike in Norway in October. Which tent do I need?"}
        with self.client.post("/api/chat", json=first, headers=account.headers, catch_response=True) as answer:
            session = sse.read(answer.text)["last"]["data"]["sessionId"]
        second = {"message": "And which boots?", "sessionId": session}
        self.client.post("/api/chat", json=second, headers=account.headers, name="/api/chat#again")
