"""`gameday view` beside a running system: a fault by its page is a lease of the supervisor, and ends with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from program import Gameday, until

TOKEN = "the-token-of-a-test"
SMALL = Path(__file__).parent / "recover.yml"


def test_without_a_system_it_says_how_to_start_one(gameday: Gameday) -> None:
    assert "mend: gameday up" in gameday.run("view", code=2).err


@pytest.fixture
def page(gameday: Gameday) -> Iterator[httpx.Client]:
    gameday.run("up", "-f", SMALL, "--trust", "--wire", "all")
    with gameday.running("view", "--port", "0", "--lease", "2m", env={"GAMEDAY_VIEW_TOKEN": TOKEN}) as process:
        address = until(lambda: gameday.output().strip(), 20, "the page is served")
        with httpx.Client(base_url=address.partition("/?")[0], headers={"authorization": f"Bearer {TOKEN}"}) as client:
            yield client
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(20) == 130
    assert gameday.in_force() == []


def test_an_edge_is_broken_from_the_page_and_whole_again_afterwards(gameday: Gameday, page: httpx.Client) -> None:
    told = {"fault": "latency", "target": "web->api", "arguments": {"latency": 300}, "seconds": 60}
    lease = page.post("/api/leases", json=told).json()
    assert [each["id"] for each in gameday.in_force()] == [lease["id"]]
    assert [each["leases"] for each in page.get("/api/map").json()["edges"]] == [[lease["id"]]]
    assert "is held by the lease" in page.post("/api/leases", json=told).json()["error"]
    assert page.delete(f"/api/leases/{lease['id']}").json()["state"] == "undone"
    assert gameday.in_force() == []
    page.post("/api/leases", json=told | {"seconds": 0.5})
    until(lambda: page.get("/api/map").json()["leases"] == [], 10, "the lease ends with its time")
    assert page.post("/api/leases", json=told).status_code == 201  # for the end of the command to undo
