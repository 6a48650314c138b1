"""Toxiproxy's HTTP API before a supervisor that is none: what its clients see, and what becomes of their toxics."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest

from gameday.control import Control
from gameday.errors import GamedayError, InputError, Problem
from gameday.toxiproxy import Server, Toxiproxy

EDGE, TOKEN = "shop->stock", "a-token"
WIRES = [
    {"edge": EDGE, "port": 80, "listen": "127.0.0.1:1", "upstreams": ["127.0.0.1:2"]},
    {"edge": "shop->prices", "port": 81, "listen": "127.0.0.1:3", "upstreams": ["127.0.0.1:4"]},
    {"edge": "shop->prices", "port": 82, "listen": "127.0.0.1:5", "upstreams": ["127.0.0.1:6"]},
]


class Supervisor:
    """Holds leases as the real one does; refuses what has the attribute `refused`."""

    def __init__(self) -> None:
        self.leases: list[dict[str, Any]] = []
        self.leaks = False

    def call(self, op: str, **told: Any) -> Any:
        return getattr(self, f"_{op}")(**told)

    def _wires(self) -> Any:
        return WIRES

    def _inject(self, **told: Any) -> Any:
        if "refused" in told["arguments"]:
            raise InputError(Problem("latency takes no argument 'refused'", "see docs/faults/latency.md"))
        lease = {"id": f"lease-{len(self.leases)}", "state": "in-force", "error": None, "mend": None, **told}
        self.leases.append(lease)
        return lease

    def _leases(self, run: str) -> Any:
        return [each for each in self.leases if each["run"] == run]

    def _undo(self, run: str | None = None, lease: str | None = None, **_: Any) -> Any:
        undone = [
            each for each in self.leases if each["state"] == "in-force" and (run == each["run"] or lease == each["id"])
        ]
        for each in undone:
            each["state"] = "leaked" if self.leaks else "undone"
            each["error"] = "it stays" if self.leaks else None
        return undone


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


@pytest.fixture
def client(supervisor: Supervisor) -> Iterator[httpx.Client]:
    api = Toxiproxy(cast("Control", supervisor), 60.0)
    with Server(api, 0, TOKEN) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with httpx.Client(base_url=f"http://any:{TOKEN}@127.0.0.1:{server.server_port}") as http:
            yield http
        server.shutdown()


LATENCY = {"type": "latency", "attributes": {"latency": 100}}


def test_its_proxies_are_the_edges(client: httpx.Client) -> None:
    listed = client.get("/proxies").json()
    assert listed.keys() == {EDGE, "shop->prices:81", "shop->prices:82"}
    assert listed[EDGE] == {
        "name": EDGE,
        "listen": "127.0.0.1:1",
        "upstream": "127.0.0.1:2",
        "enabled": True,
        "toxics": [],
    }
    assert client.get(f"/proxies/{EDGE}").json() == listed[EDGE]
    assert client.get("/version").json()["version"]
    assert client.post("/populate", json=[{"name": EDGE, "upstream": "x"}]).json()["proxies"] == [listed[EDGE]]


def test_a_toxic_is_a_lease_from_its_making_to_its_end(client: httpx.Client, supervisor: Supervisor) -> None:
    toxics = f"/proxies/{EDGE}/toxics"
    made = client.post(toxics, json=LATENCY).json()
    assert made == {
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1.0,
        "attributes": {"latency": 100},
    }
    (lease,) = supervisor.leases
    assert (lease["fault"], lease["target"], lease["ttl"]) == ("latency", EDGE, 60.0)
    assert lease["arguments"] == {"latency": 100, "stream": "downstream", "toxicity": 1.0}
    assert lease["owner"]
    assert client.get(toxics).json() == [made]
    assert client.get(f"{toxics}/latency_downstream").json() == made
    assert client.get(f"/proxies/{EDGE}").json()["toxics"] == [made]
    changed = client.post(f"{toxics}/latency_downstream", json={"attributes": {"jitter": 5}, "toxicity": 0.5}).json()
    assert (changed["attributes"], changed["toxicity"]) == ({"latency": 100, "jitter": 5}, 0.5)
    assert [each["state"] for each in supervisor.leases] == ["undone", "in-force"]
    assert client.delete(f"{toxics}/latency_downstream").status_code == 204
    assert client.get(toxics).json() == []
    assert [each["state"] for each in supervisor.leases] == ["undone", "undone"]


def test_a_change_that_cannot_be_leaves_the_toxic_as_it_was(client: httpx.Client) -> None:
    toxics = f"/proxies/{EDGE}/toxics"
    made = client.post(toxics, json=LATENCY).json()
    assert client.post(f"{toxics}/latency_downstream", json={"attributes": {"refused": 1}}).status_code == 400
    assert client.get(toxics).json() == [made]


def test_a_lease_that_ended_by_itself_is_no_toxic_any_more(client: httpx.Client, supervisor: Supervisor) -> None:
    client.post(f"/proxies/{EDGE}/toxics", json=LATENCY)
    supervisor.leases[0]["state"] = "expired"
    assert client.get(f"/proxies/{EDGE}/toxics").json() == []
    assert client.post(f"/proxies/{EDGE}/toxics", json=LATENCY).status_code == 200


def test_a_disabled_proxy_is_an_edge_that_is_down(client: httpx.Client, supervisor: Supervisor) -> None:
    assert client.post(f"/proxies/{EDGE}", json={"enabled": False}).json()["enabled"] is False
    assert [each["fault"] for each in supervisor.leases] == ["down"]
    assert client.get(f"/proxies/{EDGE}/toxics").json() == []
    client.post(f"/proxies/{EDGE}", json={"enabled": False})
    assert len(supervisor.leases) == 1
    assert client.patch(f"/proxies/{EDGE}", json={"enabled": True}).json()["enabled"] is True
    assert supervisor.leases[0]["state"] == "undone"


def test_reset_undoes_all_of_it(client: httpx.Client, supervisor: Supervisor) -> None:
    client.post(f"/proxies/{EDGE}/toxics", json=LATENCY)
    client.post(f"/proxies/{EDGE}", json={"enabled": False})
    assert client.post("/reset").status_code == 204
    assert {each["state"] for each in supervisor.leases} == {"undone"}


def test_an_undo_that_fails_is_told(client: httpx.Client, supervisor: Supervisor) -> None:
    client.post(f"/proxies/{EDGE}/toxics", json=LATENCY)
    supervisor.leaks = True
    told = client.post("/reset")
    assert (told.status_code, told.json()["error"]) == (500, "lease-0 leaked: it stays")


@pytest.mark.parametrize(
    ("asked", "body", "status", "words"),
    [
        ("GET /proxies/nobody->stock", None, 404, "proxy not found"),
        ("POST /proxies", {"name": EDGE, "upstream": "x"}, 409, "already exists"),
        ("POST /proxies", {"name": "new", "upstream": "x"}, 404, "proxy not found"),
        (f"DELETE /proxies/{EDGE}", None, 403, "cannot be deleted"),
        (f"GET /proxies/{EDGE}/toxics/none", None, 404, "toxic not found"),
        (f"POST /proxies/{EDGE}/toxics", {"type": "latency", "attributes": {"refused": 1}}, 400, "no argument"),
        (f"POST /proxies/{EDGE}/toxics", {"type": "down"}, 400, "invalid toxic type"),
        (f"POST /proxies/{EDGE}/toxics", {**LATENCY, "name": "down"}, 400, "invalid toxic type"),
        (f"POST /proxies/{EDGE}/toxics", {**LATENCY, "toxicity": "much"}, 400, "bad request body"),
        (f"POST /proxies/{EDGE}/toxics", [1], 400, "bad request body"),
        ("POST /populate", {"name": EDGE}, 400, "bad request body"),
        ("GET /elsewhere", None, 404, "there is no"),
    ],
)
def test_what_cannot_be(client: httpx.Client, asked: str, body: Any, status: int, words: str) -> None:
    told = client.request(*asked.split(), json=body)
    assert told.status_code == status, told.text
    assert words in told.json()["error"]
    assert told.json()["status"] == status


def test_what_is_no_json(client: httpx.Client) -> None:
    assert client.post("/reset", content=b"{").status_code == 400
    assert client.post("/reset", content=b" " * 100_000).status_code == 413


def test_the_same_toxic_twice(client: httpx.Client) -> None:
    assert client.post(f"/proxies/{EDGE}/toxics", json=LATENCY).status_code == 200
    assert client.post(f"/proxies/{EDGE}/toxics", json=LATENCY).status_code == 409


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic bm9ib2R5", "Basic !", "Basic YTp3cm9uZw=="])
def test_nobody_without_the_token(client: httpx.Client, supervisor: Supervisor, authorization: str | None) -> None:
    with httpx.Client(base_url=str(client.base_url).replace(f"any:{TOKEN}@", "")) as stranger:
        headers = {"authorization": authorization} if authorization else {}
        assert stranger.post(f"/proxies/{EDGE}/toxics", json=LATENCY, headers=headers).status_code == 401
    assert supervisor.leases == []


def test_a_bearer_will_do(client: httpx.Client) -> None:
    with httpx.Client(base_url=str(client.base_url).replace(f"any:{TOKEN}@", "")) as other:
        assert other.get("/proxies", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_supervisor_that_is_gone_is_told(client: httpx.Client, supervisor: Supervisor) -> None:
    def gone(op: str, **_: Any) -> Any:
        raise GamedayError("the system ended")

    supervisor.call = gone  # type: ignore[method-assign]
    told = client.get("/proxies")
    assert (told.status_code, told.json()["error"]) == (503, "the system ended")
