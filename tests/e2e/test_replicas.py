"""One of two replicas of the recommender dies under load; a corrupt model is dropped in under load."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from program import ROOT, TIME_SCALE, Gameday, gameday_in_new_state, until

pytestmark = pytest.mark.alone

REPLICAS = ["recommendation-svc-1", "recommendation-svc-2"]
# Enough at once that each replica has calls under way when it dies.
VISITORS = 6
ANSWERS = 300
PURCHASES = 20


class Crowd:
    """Visitors of the homepage who ask again as soon as they are answered; counts what they were given."""

    def __init__(self, port: int, visitors: int = VISITORS) -> None:
        self.seen: Counter[str] = Counter()
        self._port = port
        self._visitors = visitors
        self._left = threading.Event()

    @contextmanager
    def visiting(self) -> Iterator[Counter[str]]:
        with ThreadPoolExecutor(self._visitors) as pool:
            visits = [pool.submit(self._visit) for _ in range(self._visitors)]
            try:
                yield self.seen
            finally:
                self._left.set()
        for visit in visits:
            visit.result()

    def _visit(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._left.is_set():
            connection.request("GET", "/api/homepage")
            answer = connection.getresponse()
            page = json.load(answer)
            self.seen[page["recommendations"]["source"] if answer.status == 200 else f"status {answer.status}"] += 1
        connection.close()


class Customers:
    """Sign in and buy, again and again; counts each status."""

    def __init__(self, port: int) -> None:
        self.seen: Counter[tuple[str, int]] = Counter()
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        self._who = {"email": f"{uuid.uuid4().hex}@example.org", "password": "nobody guesses this"}
        assert self._client.post("/api/users", json={**self._who, "name": "A customer"}).status_code == 201
        self.buy()

    def buy(self) -> None:
        answer = self._client.post("/api/users/login", json=self._who)
        self.seen["sign in", answer.status_code] += 1
        headers = {"authorization": f"Bearer {answer.json()['access_token']}", "idempotency-key": uuid.uuid4().hex}
        answer = self._client.post("/api/users/me/purchases", json={"itemId": "item-001"}, headers=headers)
        self.seen["buy", answer.status_code] += 1


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("served") / "models"
    shutil.copytree(ROOT / "system/recommendation/model", directory)
    return directory


@pytest.fixture(scope="module")
def pair(models: Path) -> Iterator[Gameday]:
    """Two replicas that serve a copy of the model."""
    override = models.parent / "served.yml"
    override.write_text(json.dumps({"services": {"recommendation-svc": {"environment": {"MODEL_DIR": str(models)}}}}))
    with gameday_in_new_state() as gameday:
        files = ["-f", ROOT / "docker-compose.yml", "-f", override]
        options = ["--scale", "recommendation-svc=2", "--wire", "all", "--time-scale", TIME_SCALE, "--trust"]
        gameday.run("up", "api-gateway", *files, *options, env={"RATE_LIMIT_FACTOR": "1000"})
        yield gameday


def refused(gameday: Gameday) -> float:
    """How often any replica refused a model."""
    found = 0.0
    for name in REPLICAS:
        text = httpx.get(f"{gameday.services()[name]['url']}/metrics").text
        lines = [line for line in text.splitlines() if line.startswith("model_loads_total{") and "refused" in line]
        found += sum(float(line.split()[-1]) for line in lines)
    return found


def test_a_corrupt_model_costs_nobody_a_recommendation_a_sign_in_or_a_purchase(pair: Gameday, models: Path) -> None:
    customers = Customers(pair.port)
    graph = models / (models / "current").read_text().strip() / "model.onnx"
    good = graph.read_bytes()
    with Crowd(pair.port, visitors=1).visiting() as seen:
        until(lambda: seen.total() > ANSWERS, 60, "users are served")
        graph.write_bytes(b"spoiled")
        until(lambda: customers.buy() or refused(pair) >= len(REPLICAS), 30, "both replicas refuse the model")
        before = seen.total()
        sold = customers.seen["buy", 201]
        until(lambda: customers.buy() or seen.total() > before + ANSWERS, 60, "users are served all the same")
        until(lambda: customers.buy() or customers.seen["buy", 201] > sold + PURCHASES, 60, "customers buy")
        graph.write_bytes(good)
    assert set(seen) == {"model"}, seen
    assert set(customers.seen) == {("sign in", 200), ("buy", 201)}, customers.seen


def test_no_idempotent_request_is_lost_when_one_of_two_replicas_is_killed(pair: Gameday) -> None:
    gameday = pair
    assert [name for name in gameday.services() if name.startswith("recommendation-svc")] == REPLICAS
    crowd = Crowd(gameday.port)
    with crowd.visiting() as seen:
        until(lambda: seen.total() > ANSWERS, 60, "users are served by both replicas")
        lease = gameday.call("inject", fault="kill", target=REPLICAS[1], arguments={}, ttl=60, run="story")
        assert lease["state"] == "in-force", lease
        before = seen.total()
        until(lambda: seen.total() > before + ANSWERS, 60, "users are served by the one that is left")
        shown = {name: gameday.services()[name]["state"] for name in REPLICAS}
        assert shown == {REPLICAS[0]: "healthy", REPLICAS[1]: "exited"}
        (undone,) = gameday.call("undo", lease=lease["id"])
    assert (undone["state"], undone["in_force"]["holds"], undone["exercised"]["holds"]) == ("undone", True, True)
    assert set(seen) == {"model"}, seen

    # With nobody left it is seen: the story above could have ended otherwise.
    gameday.call("inject", fault="kill", target="recommendation-svc", arguments={}, ttl=60, run="story")
    with Crowd(gameday.port).visiting() as seen:
        until(lambda: seen["fallback"] > VISITORS, 20, "users see the fallback")
    gameday.call("undo", run="story")
