"""The page's JSON before a supervisor that is none: who is let in, what is shown, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gameday.control import Control
from gameday.errors import GamedayError, InputError, Problem
from gameday.state import State
from gameday.tools.prometheus import Sample, Series
from gameday.view import running as module
from gameday.view.running import Running
from gameday.view.server import app

TOKEN, EDGE = "a-token", "shop->stock"
BEARER = {"authorization": f"Bearer {TOKEN}"}
COMPOSE = """\
services:
  shop:
    image: shop
    environment: {STOCK_URL: "http://stock:80", PRICES: "http://prices:81,http://prices:82"}
  stock: {image: stock, expose: ["80"]}
  prices: {image: prices, expose: ["81", "82"]}
"""
BOARD = {
    "uid": "small",
    "title": "Small",
    "templating": {"list": [{"name": "edge", "type": "query", "query": "label_values(edge)", "includeAll": True}]},
    "panels": [
        {
            "id": 1,
            "title": "Calls",
            "type": "timeseries",
            "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8},
            "targets": [{"expr": 'calls{edge=~"$edge"}', "legendFormat": "{{edge}}"}],
        }
    ],
}


class Supervisor:
    """Holds leases as the real one does, for one target each; `away` makes it gone."""

    def __init__(self) -> None:
        self.leases: list[dict[str, Any]] = []
        self.states = {"shop": "healthy", "stock": "healthy", "prices-1": "healthy", "prices-2": "exited"}
        self.away = self.leaks = False

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None: ...

    def call(self, op: str, **told: Any) -> Any:
        return getattr(self, f"_{op}")(**told)

    def _status(self) -> Any:
        services = [
            {"name": name, "service": name.split("-")[0], "state": state, "detail": "", "url": None}
            for name, state in self.states.items()
        ]
        told = {"ready": True, "failure": None, "wired": True, "time_scale": 30.0, "state": "."}
        return {**told, "services": services}

    def _wires(self) -> Any:
        return [{"edge": EDGE, "port": 80}, {"edge": "shop->prices", "port": 81}]

    def _connections(self) -> Any:
        return [{"from": "stock", "to": "prices", "port": 82}]

    def _leases(self, run: str | None = None) -> Any:
        return [each for each in self.leases if run in (None, each["run"])]

    def _inject(self, **told: Any) -> Any:
        if any(each["target"] == told["target"] and each["state"] == "in-force" for each in self.leases):
            raise InputError(Problem(f"{told['target']} is held", "gameday recover --all"))
        self.hold(**told)
        return self.leases[-1]

    def hold(self, **told: Any) -> None:
        nothing = {"in_force": {}, "exercised": {"holds": False}, "error": None, "mend": None, "intent_wall": 1e12}
        self.leases.append({"id": f"lease-{len(self.leases)}", "state": "in-force", **nothing, **told})

    def _undo(self, run: str | None = None, lease: str | None = None, **_: Any) -> Any:
        chosen = [each for each in self.leases if run == each["run"] or lease == each["id"]]
        for each in chosen:
            each.update({"state": "leaked", "error": "it stays"} if self.leaks else {"state": "undone"})
        return chosen


class Prometheus:
    """Knows one breaker, one series; an exception in `fails` is raised."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.asked: list[str] = []

    def _told(self, answer: Any) -> Any:
        if self.fails:
            raise self.fails
        return answer

    def instant(self, query: str) -> Sequence[Sample]:
        told: Sequence[Sample] = self._told([Sample("", {"edge": EDGE}, 0.0, 2.0)])
        return told

    def range(self, query: str, start: float, end: float, step: float) -> Sequence[Series]:
        self.asked.append(query)
        told: Sequence[Series] = self._told([Series({"edge": EDGE}, [(end, 3.0)])])
        return told

    def scrape_interval(self) -> float:
        return float(self._told(1.0))

    def label_values(self, label: str, selector: str | None = None) -> Sequence[str]:
        told: Sequence[str] = self._told([EDGE])
        return told


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


@pytest.fixture
def prometheus() -> Prometheus:
    return Prometheus()


@pytest.fixture
def page(supervisor: Supervisor, prometheus: Prometheus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Of a system that runs in `tmp_path`, whose supervisor and Prometheus are none."""
    compose, state = tmp_path / "compose.yaml", State(tmp_path / "state")
    compose.write_text(COMPOSE)
    state.create()
    state.supervisor.write_text(json.dumps({"files": [str(compose)], "profiles": [], "scale": {"prices": 2}, "pid": 1}))
    boards = tmp_path / "dashboards" / "_gen"
    boards.mkdir(parents=True)
    (boards / "small.json").write_text(json.dumps(BOARD))

    def connect(_: Path) -> Supervisor:
        if supervisor.away:
            raise InputError(Problem("nothing is running", "gameday up"))
        return supervisor

    monkeypatch.setattr(Control, "connect", connect)
    monkeypatch.setattr(module, "_client", lambda _: prometheus)
    api = app(Running(state, 60.0, "http://prometheus", run="the-page"), TOKEN)
    return TestClient(api, base_url="http://127.0.0.1:8475", headers=BEARER, raise_server_exceptions=False)


@pytest.fixture
def visitor(page: TestClient) -> Iterator[TestClient]:
    """Has the cookie that the printed address left, and no bearer."""
    del page.headers["authorization"]
    assert page.get(f"/?token={TOKEN}").status_code == 200
    yield page


def edges(page: TestClient) -> Mapping[str, dict[str, Any]]:
    return {each["name"]: each for each in page.get("/api/map").json()["edges"]}


def services(page: TestClient) -> Mapping[str, dict[str, Any]]:
    return {each["name"]: each for each in page.get("/api/map").json()["services"]}


LATENCY = {"fault": "latency", "target": EDGE, "arguments": {"latency": 100}, "seconds": 30}


def test_nobody_is_let_in_without_the_token(page: TestClient) -> None:
    for path in ("/", "/api/map", "/api/runs", "/runs/x/report.html", "/view.js"):
        for headers in ({"authorization": ""}, {"authorization": "Bearer another"}, {"authorization": "Bearer "}):
            assert page.get(path, headers=headers).status_code == 401
    assert page.get("/?token=another", headers={"authorization": ""}).status_code == 401


def test_another_name_for_this_host_is_not_answered(page: TestClient) -> None:
    assert page.get("/api/map", headers={"host": "rebound.example:8475"}).status_code == 400


def test_the_printed_address_leaves_a_cookie_that_no_script_reads(page: TestClient) -> None:
    answer = page.get(f"/?token={TOKEN}", headers={"authorization": ""}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=strict" in answer.headers["set-cookie"].lower()


def test_with_the_cookie_only_the_page_itself_changes_something(visitor: TestClient, supervisor: Supervisor) -> None:
    assert visitor.get("/api/map").status_code == 200
    for origin in ({}, {"origin": "http://127.0.0.1:3000"}, {"origin": "null"}):
        assert visitor.post("/api/leases", json=LATENCY, headers=origin).status_code == 403
    assert supervisor.leases == []
    assert visitor.post("/api/leases", json=LATENCY, headers={"origin": "http://127.0.0.1:8475"}).status_code == 201


def test_the_page_and_all_that_it_loads_come_from_here(page: TestClient) -> None:
    answer = page.get("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "://" not in answer.text
    for name in ("view.js", "view.css", "plotly.js"):
        assert name in answer.text
        assert page.get(f"/{name}").status_code == 200
    assert "Licensed under the MIT license" in page.get("/plotly.js").text[:300]


def test_the_map_shows_health_breakers_and_what_can_be_broken(page: TestClient) -> None:
    shown, told = services(page), edges(page)
    assert {name: each["state"] for name, each in shown.items()} == {
        "shop": "healthy",
        "stock": "healthy",
        "prices": "exited",
    }
    assert told.keys() == {EDGE, "shop->prices:81", "shop->prices:82", "stock->prices"}
    assert {name: each["breaker"] for name, each in told.items()} == dict.fromkeys(told) | {EDGE: "open"}
    assert [name for name, each in told.items() if each["wired"]] == ["shop->prices:81", EDGE]
    assert told["stock->prices"]["evidence"] == ["observed"]


def test_a_service_of_the_file_that_does_not_run_has_no_state(page: TestClient, supervisor: Supervisor) -> None:
    del supervisor.states["stock"]
    assert services(page)["stock"]["state"] is None


def test_without_prometheus_breakers_are_unknown_and_never_closed(page: TestClient, prometheus: Prometheus) -> None:
    prometheus.fails = GamedayError("Prometheus does not answer: refused")
    told = page.get("/api/map").json()
    assert {each["breaker"] for each in told["edges"]} == {"unknown"}
    assert told["prometheus"] == "Prometheus does not answer: refused"


def test_a_fault_is_a_lease_that_counts_down_and_is_undone(page: TestClient, supervisor: Supervisor) -> None:
    answer = page.post("/api/leases", json=LATENCY)
    assert answer.status_code == 201
    (lease,) = supervisor.leases
    assert (lease["ttl"], lease["run"], lease["arguments"]) == (30.0, "the-page", {"latency": 100})
    assert lease["owner"]
    supervisor.leases[0]["intent_wall"] = module.time.time()
    told = page.get("/api/map").json()
    (shown,) = told["leases"]
    assert shown["mine"]
    assert 25 < shown["left"] <= 30
    assert [each["name"] for each in told["edges"] if each["leases"]] == [EDGE]
    assert page.delete(f"/api/leases/{lease['id']}").json()["state"] == "undone"
    assert page.get("/api/map").json()["leases"] == []


def test_a_fault_on_one_replica_shows_at_its_service(page: TestClient, supervisor: Supervisor) -> None:
    supervisor.hold(fault="kill", target="prices-2", arguments={}, ttl=30, run="an-experiment")
    assert services(page)["prices"]["leases"] == ["lease-0"]


def test_what_the_supervisor_refuses_is_refused_with_the_mend(page: TestClient) -> None:
    page.post("/api/leases", json=LATENCY)
    answer = page.post("/api/leases", json=LATENCY)
    assert answer.status_code == 400
    assert answer.json() == {"error": f"{EDGE} is held", "mend": "gameday recover --all"}


@pytest.mark.parametrize(
    "told", [LATENCY | {"seconds": 61}, LATENCY | {"seconds": 0}, LATENCY | {"seconds": "nan"}, {}, []]
)
def test_a_fault_that_is_too_long_or_no_fault_is_refused(page: TestClient, supervisor: Supervisor, told: Any) -> None:
    assert page.post("/api/leases", json=told).status_code == 400
    assert supervisor.leases == []


def test_the_faults_of_an_experiment_are_not_undone_from_here(page: TestClient, supervisor: Supervisor) -> None:
    supervisor.hold(fault="down", target=EDGE, arguments={}, ttl=30, run="an-experiment")
    (shown,) = page.get("/api/map").json()["leases"]
    assert not shown["mine"]
    assert page.delete("/api/leases/lease-0").status_code == 400
    assert supervisor.leases[0]["state"] == "in-force"


def test_an_undo_that_fails_is_no_success(page: TestClient, supervisor: Supervisor) -> None:
    page.post("/api/leases", json=LATENCY)
    supervisor.leaks = True
    answer = page.delete("/api/leases/lease-0")
    assert answer.status_code == 502
    assert "leaked: it stays" in answer.json()["error"]
    (shown,) = page.get("/api/map").json()["leases"]
    assert shown["state"] == "leaked"


def test_faults_are_offered_where_they_have_a_target(page: TestClient) -> None:
    def offered(target: str) -> set[str]:
        return {each["name"] for each in page.get("/api/faults", params={"target": target}).json()["faults"]}

    assert {"latency", "down"} <= offered(EDGE)
    assert {"kill", "pause"} <= offered("stock")
    assert not offered(EDGE) & offered("stock")
    assert offered("nobody") == set()
    (latency,) = (
        each for each in page.get("/api/faults", params={"target": EDGE}).json()["faults"] if each["name"] == "latency"
    )
    assert latency["arguments"]["required"] == ["latency"]


def test_a_system_that_goes_away_is_told_as_such(page: TestClient, supervisor: Supervisor) -> None:
    supervisor.away = True
    for answer in (page.get("/api/map"), page.post("/api/leases", json=LATENCY), page.delete("/api/leases/x")):
        assert answer.status_code == 503
        assert answer.json() == {"error": "nothing is running"}


def test_a_board_is_listed_with_the_values_of_its_variables(page: TestClient, prometheus: Prometheus) -> None:
    (board,) = page.get("/api/boards").json()
    assert (board["title"], board["error"]) == ("Small", None)
    assert board["variables"] == [{"name": "edge", "label": "edge", "values": ["$__all", EDGE], "value": "$__all"}]
    prometheus.fails = GamedayError("Prometheus does not answer")
    (board,) = page.get("/api/boards").json()
    assert (board["variables"], board["error"]) == ([], "Prometheus does not answer")


def test_a_panel_asks_prometheus_what_its_board_says(page: TestClient, prometheus: Prometheus) -> None:
    told = page.get("/api/boards/small/panels/1", params={"seconds": 300, "var-edge": EDGE}).json()
    assert prometheus.asked == [f'calls{{edge=~"{EDGE}"}}']
    assert (told["silent"], told["figure"]["data"][0]["y"]) == ("", [3.0])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/boards/small/panels/2", 404),
        ("/api/boards/other/panels/1", 404),
        ("/api/boards/small/panels/1?seconds=59", 400),
        ("/api/boards/small/panels/1?seconds=1e9", 400),
        ("/api/boards/small/panels/1", 502),
    ],
)
def test_what_cannot_be_drawn_is_an_error(page: TestClient, path: str, status: int) -> None:
    """The last one names no value for its variable."""
    answer = page.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_runs_lead_to_their_reports_which_reach_nothing_here(page: TestClient, tmp_path: Path) -> None:
    for name, report in (("1-kept", True), ("2-torn", False)):
        directory = tmp_path / "state" / "runs" / name
        directory.mkdir(parents=True)
        (directory / "journal.jsonl").write_text("")
        if report:
            (directory / "verdict.json").write_text('{"verdict": "refuted"}')
            (directory / "report.html").write_text("<p>a report")
    torn, kept = page.get("/api/runs").json()
    assert (torn["id"], torn["verdict"], torn["report"]) == ("2-torn", None, None)
    assert kept["verdict"] == "refuted"
    answer = page.get(kept["report"])
    assert answer.text == "<p>a report"
    assert answer.headers["content-security-policy"] == "sandbox allow-scripts"
    for path in ("/runs/2-torn/report.html", "/runs/3/report.html", "/runs/..%2F..%2Fstate/report.html"):
        assert page.get(path).status_code == 404
