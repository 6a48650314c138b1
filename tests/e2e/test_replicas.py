"""One of two replicas dies under load: the other answers in its place."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from program import TIME_SCALE, Gameday, until

REPLICAS = ["recommendation-svc-1", "recommendation-svc-2"]
# Enough at once that each replica has calls under way when it dies.
VISITORS = 6
ANSWERS = 300


class Crowd:
    """Visitors of the homepage who ask again as soon as they are answered; counts what they were given."""

    def __init__(self, port: int) -> None:
        self.seen: Counter[str] = Counter()
        self._port = port
        self._left = threading.Event()

    @contextmanager
    def visiting(self) -> Iterator[Counter[str]]:
        with ThreadPoolExecutor(VISITORS) as pool:
            visits = [pool.submit(self._visit) for _ in range(VISITORS)]
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


def test_no_idempotent_request_is_lost_when_one_of_two_replicas_is_killed(gameday: Gameday) -> None:
    gameday.run(
        "up", "api-gateway", "--scale", "recommendation-svc=2", "--wire", "all", "--time-scale", TIME_SCALE
    )  # fmt: skip
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
