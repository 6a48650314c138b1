"""search-svc with its vectors in Pinecone: Pinecone's own client against a small fake of the HTTP protocol."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvicorn
from ports import free_port
from servers import Postgres, Service, ServiceFactory, eventually
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

EDGE = "search-svc->pinecone"
KEY = "fake-key"


@dataclass
class FakePinecone:
    """The three calls that search-svc makes, on vectors in memory. `mode` 503: it is down."""

    port: int = field(default_factory=free_port)
    vectors: dict[str, list[float]] = field(default_factory=dict)
    mode: str = "well"
    keys: set[str] = field(default_factory=set)

    def start(self) -> None:
        routes = [
            Route("/vectors/upsert", self.upsert, methods=["POST"]),
            Route("/vectors/delete", self.delete, methods=["POST"]),
            Route("/query", self.query, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), port=self.port, log_config=None, lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        eventually(lambda: self.server.started, 5, "the fake did not start")

    def stop(self) -> None:
        self.server.force_exit = self.server.should_exit = True
        self.thread.join()

    async def upsert(self, request: Request) -> Response:
        body = await request.json()
        self.vectors |= {each["id"]: each["values"] for each in body["vectors"]}
        return self._answer(request, {"upsertedCount": len(body["vectors"])})

    async def delete(self, request: Request) -> Response:
        for item in (await request.json())["ids"]:
            self.vectors.pop(item, None)
        return self._answer(request, {})

    async def query(self, request: Request) -> Response:
        body = await request.json()
        scores = {item: float(np.dot(vector, body["vector"])) for item, vector in self.vectors.items()}
        best = sorted(scores, key=lambda item: -scores[item])[: body["topK"]]
        matches = [{"id": item, "score": scores[item]} for item in best]
        return self._answer(request, {"matches": matches, "namespace": "", "usage": {"readUnits": 1}})

    def _answer(self, request: Request, body: dict[str, Any]) -> Response:
        self.keys.add(request.headers.get("api-key", ""))
        if self.mode == "503":
            return JSONResponse({"error": {"code": "UNAVAILABLE", "message": "down"}, "status": 503}, 503)
        return JSONResponse(body)


@pytest.fixture(scope="module")
def pinecone() -> Iterator[FakePinecone]:
    fake = FakePinecone()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture(scope="module")
def service(services: ServiceFactory, postgres: Postgres, pinecone: FakePinecone) -> Service:
    started = services(
        "system.search",
        DATABASE_URL=postgres.create("search"),
        PINECONE_API_KEY=KEY,
        PINECONE_HOST=f"http://127.0.0.1:{pinecone.port}",
        BREAKER_RESET_SECONDS="0.2",
        INDEX_INTERVAL_SECONDS="0.05",
        EMBED_TIMEOUT_SECONDS="2",
        PINECONE_TIMEOUT_SECONDS="5",
    )
    eventually(lambda: len(pinecone.vectors) == 400, 60, "the catalogue is not in the index")
    return started


def search(service: Service, query: str) -> dict[str, Any]:
    answer = service.http.post("/search", json={"query": query, "limit": 5})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_it_finds_by_meaning_with_its_key(service: Service, pinecone: FakePinecone) -> None:
    found = search(service, "protect my skull on a bicycle")
    assert found["source"] == "hybrid"
    assert all(item["title"].endswith("Road Bike Helmet") for item in found["items"])
    assert pinecone.keys == {KEY}


def test_what_is_put_and_deleted_is_so_in_the_index(service: Service, pinecone: FakePinecone) -> None:
    assert service.http.put("/items/harp", json={"title": "Blues Harp"}).json()["embedded"]
    assert len(pinecone.vectors["harp"]) == 384
    assert service.http.delete("/items/harp").status_code == 204
    assert "harp" not in pinecone.vectors


def test_a_vector_whose_item_is_gone_is_left_out(service: Service, pinecone: FakePinecone) -> None:
    pinecone.vectors["ghost"] = pinecone.vectors["item-001"]
    assert "ghost" not in [item["id"] for item in search(service, "running shoes")["items"]]


def test_while_it_is_down_the_words_decide_and_what_is_put_comes_later(
    service: Service, pinecone: FakePinecone
) -> None:
    def refused() -> bool:
        """On a busy machine the first one may run into its timeout instead."""
        assert search(service, "kestrel office chair")["source"] == "fallback"
        return bool(service.metric("fallback_total", edge=EDGE, reason="status"))

    pinecone.mode = "503"
    try:
        eventually(refused, 5, "no fallback tells that it was refused")
        assert service.http.put("/items/late", json={"title": "Late Arrival"}).json() == {
            "id": "late",
            "embedded": False,
        }
        assert service.http.delete("/items/item-001").status_code == 503
        pinecone.vectors.pop("late", None)
    finally:
        pinecone.mode = "well"
    eventually(lambda: "late" in pinecone.vectors, 10, "what was put meanwhile is not in the index")
    eventually(lambda: search(service, "jogging")["source"] == "hybrid", 5, "no recovery")
