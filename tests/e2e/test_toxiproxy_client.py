"""A Toxiproxy client from PyPI, unchanged, breaks an edge of the whole system."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator

import pytest
from program import Gameday, until
from toxiproxy import Toxiproxy

pytestmark = pytest.mark.alone

EDGE = "api-gateway->recommendation-svc"
TOKEN = "the-token-of-a-test"


def source(wired: Gameday) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{wired.port}/api/homepage", timeout=10) as answer:
        return str(json.load(answer)["recommendations"]["source"])


@pytest.fixture
def client(wired: Gameday) -> Iterator[Toxiproxy]:
    with wired.running("toxiproxy", "--port", "0", "--lease", "60s", env={"GAMEDAY_TOXIPROXY_TOKEN": TOKEN}) as process:
        address = until(lambda: wired.output().strip(), 20, "the API listens")
        made = Toxiproxy()
        host, _, port = address.removeprefix("http://").rpartition(":")
        made.update_api_consumer(host, port)
        yield made
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
    assert wired.in_force() == []


def test_a_client_of_toxiproxy_slows_and_cuts_an_edge(wired: Gameday, client: Toxiproxy) -> None:
    assert source(wired) == "model"
    proxy = client.get_proxy(EDGE)
    proxy.add_toxic(type="latency", attributes={"latency": 300})
    (lease,) = wired.in_force()
    assert (lease["fault"], lease["target"]) == ("latency", EDGE)
    began = time.monotonic()
    source(wired)
    assert time.monotonic() - began > 0.2
    proxy.destroy_toxic("latency_downstream")
    assert wired.in_force() == []
    with proxy.down():
        until(lambda: source(wired) == "fallback", 10, "the homepage falls back")
    until(lambda: source(wired) == "model", 30, "the model answers again")
    proxy.add_toxic(type="latency", attributes={"latency": 300})  # for whoever ends the command to undo
