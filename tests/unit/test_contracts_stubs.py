"""A service whose providers are stubs: what is started, and what a stub answers."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameday import contracts
from gameday.catalogue import Catalogue, compose
from gameday.errors import InputError
from gameday.tools import stub

COMPOSE = """
services:
  shop:
    build: .
    command: [shop]
    environment: {STOCK_URL: "http://stock:80", PRICES_URL: "http://prices:81", DB: "postgres://db:5432/shop"}
    depends_on: {stock: {condition: service_started}, db: {condition: service_started}}
  stock:
    build: .
    command: [stock]
    environment: {PORT: 80, DEPOT_URL: "http://depot:82"}
    depends_on: {depot: {condition: service_started}}
  prices: {build: ., command: [prices], environment: {PORT: 81}}
  depot: {build: ., command: [depot], environment: {PORT: 82}}
  db: {image: "postgres:18", expose: ["5432"]}
"""


@pytest.fixture
def system(tmp_path: Path) -> Catalogue:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    return compose.load([tmp_path / "docker-compose.yml"], environment={})


@pytest.fixture
def agreed(tmp_path: Path) -> Callable[..., list[contracts.Pact]]:
    def write(*pairs: str) -> list[contracts.Pact]:
        for pair in pairs:
            consumer, _, provider = pair.partition("->")
            interaction = {"description": "one", "request": {"method": "GET", "path": "/"}, "response": {"status": 200}}
            content = {"consumer": {"name": consumer}, "provider": {"name": provider}, "interactions": [interaction]}
            (tmp_path / f"{consumer}-{provider}.json").write_text(json.dumps(content))
        return contracts.read_all(tmp_path)

    return write


def test_providers_are_stubs_and_stores_are_not(system: Catalogue, agreed: Any) -> None:
    pacts = agreed("shop->stock", "shop->prices", "stock->depot")
    made, names = contracts.stubbed(system, ["shop"], pacts)
    assert sorted(names) == ["prices", "stock"]
    command = made.services["stock"].process_command
    assert command == ("python", "-m", stub.MODULE, str(pacts[1].file), "--port", "80")
    assert not made.services["stock"].depends_on
    assert made.services["shop"] == system.services["shop"]
    assert made.services["db"] == system.services["db"]
    assert [edge.name for edge in made.edges if edge.consumer == "stock"] == []


def test_two_that_are_developed_together_need_no_stub_of_each_other(system: Catalogue, agreed: Any) -> None:
    _, names = contracts.stubbed(system, ["shop", "stock"], agreed("shop->stock", "shop->prices", "stock->depot"))
    assert sorted(names) == ["depot", "prices"]


def test_who_promised_nothing_is_named(system: Catalogue, agreed: Any) -> None:
    with pytest.raises(InputError) as raised:
        contracts.stubbed(system, ["shop", "stock"], agreed("shop->prices"))
    assert [problem.value for problem in raised.value.problems] == ["stock->depot"]


ID = "5b1e7a52"
PACT = {
    "consumer": {"name": "shop"},
    "provider": {"name": "stock"},
    "interactions": [
        {
            "description": "a book",
            "providerStates": [{"name": "a book is there", "params": {"id": ID}}],
            "request": {"method": "GET", "path": f"/books/{ID}", "query": {"pages": ["10"]}},
            "response": {"status": 200, "body": {"content": {"id": ID}, "contentType": "application/json"}},
        },
        {
            "description": "an order",
            "request": {
                "method": "POST",
                "path": "/orders",
                "headers": {"Authorization": ["Bearer one"], "Content-Type": ["application/json"]},
                "body": {"content": {"book": ID, "count": 2}, "contentType": "application/json"},
                "matchingRules": {"body": {"$.book": {"matchers": [{"match": "regex", "regex": "^[0-9a-f]{8}$"}]}}},
            },
            "response": {"status": 201, "headers": {"Location": ["/orders/1"]}},
        },
        {
            "description": "an order of nothing",
            "request": {
                "method": "POST",
                "path": "/orders",
                "headers": {"Content-Type": ["application/json"]},
                "body": {"content": {"book": "none", "count": 0}, "contentType": "application/json"},
            },
            "response": {"status": 422},
        },
        {"description": "a message", "type": "Asynchronous/Messages", "contents": {"content": {}}},
    ],
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("stub") / "pact.json"
    file.write_text(json.dumps(PACT))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", stub.MODULE, str(file), "--port", str(port)])
    transport = httpx.HTTPTransport(retries=8)
    with httpx.Client(transport=transport, timeout=30) as client:
        client.get(f"http://127.0.0.1:{port}/")
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


ORDER = {"book": "0a1b2c3d", "count": 7}
KEY = {"Authorization": "Bearer another"}


@pytest.mark.parametrize(
    ("method", "path", "asked", "status"),
    [
        pytest.param("GET", f"/books/{ID}?pages=10", {}, 200, id="as in the example"),
        pytest.param("GET", "/books/other?pages=3", {}, 200, id="another of the kind that its state names"),
        pytest.param("GET", "/books/other", {}, 500, id="without a parameter"),
        pytest.param("GET", "/papers/other?pages=3", {}, 500, id="another path"),
        pytest.param("POST", "/orders", {"json": ORDER, "headers": KEY}, 201, id="other values of the same types"),
        pytest.param("POST", "/orders", {"json": ORDER}, 500, id="without a header"),
        pytest.param(
            "POST", "/orders", {"json": ORDER | {"book": "x"}, "headers": KEY}, 500, id="against a rule of the pact"
        ),
        pytest.param("POST", "/orders", {"json": ORDER | {"count": "7"}, "headers": KEY}, 500, id="another type"),
        pytest.param("POST", "/orders", {"json": ORDER | {"more": 1}, "headers": KEY}, 500, id="a field more"),
        pytest.param("POST", "/orders", {"json": {"book": "none", "count": 0}}, 422, id="a refusal as in its example"),
        pytest.param("POST", "/orders", {"json": {"book": "none", "count": 1}}, 500, id="a refusal of something else"),
    ],
)
def test_what_a_stub_answers(url: str, method: str, path: str, asked: dict[str, Any], status: int) -> None:
    answer = httpx.request(method, url + path, **asked)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json() == {"id": ID}
    if status == 201:
        assert answer.headers["location"] == "/orders/1"
