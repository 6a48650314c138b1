"""The border to other tools: what is read from them, and how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameday.errors import GamedayError
from gameday.tools.alertmanager import Notifications
from gameday.tools.chaos import digest
from gameday.tools.locust import Crowd, Plan, dig
from gameday.tools.prometheus import Prometheus


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", (True, 1)),
        ("list.1.x", (True, None)),
        ("list.2", (False, None)),
        ("list.x", (False, None)),
        ("a.c", (False, None)),
        ("a.b.c", (False, None)),
    ],
)
def test_dig(path: str, found: tuple[bool, Any]) -> None:
    assert dig({"a": {"b": 1}, "list": [0, {"x": None}]}, path) == found


def test_a_plan_survives_the_way_to_the_child() -> None:
    plan = Plan("http://127.0.0.1:1", [Crowd("users.py", "Visitor", 40.0)], {"GET /": ["a.b"]}, 5.0)
    assert Plan.decode(plan.encode()) == plan
    assert plan.crowds[0].users(plan.timeout) == 202


def activity(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"activity": {"name": name, "type": "action"}, "status": status, **more}


def test_a_journal_of_the_toolkit_is_read_activity_by_activity() -> None:
    journal = {
        "status": "completed",
        "deviated": False,
        "steady_states": {"before": {"steady_state_met": True}, "after": None},
        "run": [
            activity("kill", "failed", exception=["Trace\n", "back\n"]),
            activity("p", "succeeded", tolerance_met=False),
        ],
        "rollbacks": [activity("undo", "succeeded"), {"activity": {"name": "cut"}}],
    }
    assert digest(journal) == {
        "status": "completed",
        "deviated": False,
        "steady_before": True,
        "steady_after": None,
        "runs": [
            {"name": "kill", "type": "action", "status": "failed", "exception": "Trace\nback"},
            {"name": "p", "type": "action", "status": "succeeded", "tolerance_met": False},
            {"name": "undo", "type": "rollback", "status": "succeeded"},
            {"name": "cut", "type": "rollback", "status": "unfinished"},
        ],
    }


def test_a_journal_of_a_hypothesis_that_never_held() -> None:
    journal = {"status": "failed", "deviated": False, "steady_states": {"before": {"steady_state_met": False}}}
    assert digest(journal)["steady_before"] is False
    assert digest(journal)["runs"] == []


def alert(name: str) -> bytes:
    data = {"name": name, "status": "firing", "labels": {}, "annotations": {}, "endsAt": "0001-01-01T00:00:00Z"}
    data["startsAt"] = "2026-11-25T03:00:00.123456789Z"
    return json.dumps({"seq": 0, "wall": 12.5, "mono": 1.0, "kind": "alert", "data": data}).encode() + b"\n"


def test_only_new_and_whole_notifications_are_told(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(alert("old"))
    notifications = Notifications(path)
    assert list(notifications.fresh()) == []
    with path.open("ab") as file:
        file.write(alert("a") + alert("b")[:-20])
        file.flush()
        (first,) = notifications.fresh()
        assert (first["name"], first["received_wall"]) == ("a", 12.5)
        assert first["started_wall"] == pytest.approx(1795575600.123456)
        file.write(alert("b")[-20:])
        file.flush()
        assert [each["name"] for each in notifications.fresh()] == ["b"]
    assert list(notifications.fresh()) == []


def test_no_notifications_yet(tmp_path: Path) -> None:
    assert list(Notifications(tmp_path / "none.jsonl").fresh()) == []


def prometheus(answer: dict[str, Any] | Exception, asked: list[httpx.Request] | None = None) -> Prometheus:
    def handle(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(200, json=answer)

    client = Prometheus("http://prometheus")
    client._client = httpx.Client(base_url="http://prometheus", transport=httpx.MockTransport(handle))
    return client


def test_raw_samples_keep_their_own_times_and_their_nans() -> None:
    series = {"metric": {"__name__": "up", "job": "a"}, "values": [[1.25, "1"], [2.25, "NaN"], [3.25, "+Inf"]]}
    asked: list[httpx.Request] = []
    samples = prometheus({"status": "success", "data": {"result": [series]}}, asked).raw("up", 2.5)
    assert [(sample.wall, str(sample.value)) for sample in samples] == [(1.25, "1.0"), (2.25, "nan"), (3.25, "inf")]
    assert samples[0].labels == {"job": "a"}
    assert asked[0].url.params["query"] == "up[2500ms]"


def test_a_range_has_its_points_and_nothing_where_there_was_none() -> None:
    series = {"metric": {"job": "a"}, "values": [[100.0, "1"], [101.0, "NaN"], [103.0, "4"]]}
    asked: list[httpx.Request] = []
    (found,) = prometheus({"status": "success", "data": {"result": [series]}}, asked).range("up", 100.0, 104.0, 1.0)
    assert (found.labels, str(found.points)) == ({"job": "a"}, "[(100.0, 1.0), (101.0, nan), (103.0, 4.0)]")
    assert dict(asked[0].url.params) == {"query": "up", "start": "100.0", "end": "104.0", "step": "1.0"}


@pytest.mark.parametrize(
    "answer",
    [{"status": "error", "error": "parse"}, httpx.ConnectError("refused"), httpx.ReadTimeout("slow")],
)
def test_a_prometheus_that_does_not_answer_is_an_error(answer: dict[str, Any] | Exception) -> None:
    with pytest.raises(GamedayError, match="Prometheus"):
        prometheus(answer).raw("up", 1)


def test_the_longest_scrape_interval_counts() -> None:
    targets = [{"scrapeInterval": "1s"}, {"scrapeInterval": "1m30s"}, {"scrapeInterval": "500ms"}]
    assert prometheus({"status": "success", "data": {"activeTargets": targets}}).scrape_interval() == 90
    with pytest.raises(GamedayError, match="scrapes nothing"):
        prometheus({"status": "success", "data": {"activeTargets": []}}).scrape_interval()
