"""The store of spans: what it takes, keeps, refuses and answers."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.testclient import TestClient

from gameday.errors import GamedayError
from gameday.spans import otlp, server
from gameday.spans.store import SpanStore
from gameday.tools.jaeger import Jaeger

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "1af7651916cd43dd8448eb211c80319c"
ROOT, CHILD = "b7ad6b7169203331", "c7ad6b7169203331"
NOW = time.time_ns()
PROTOBUF = {"content-type": "application/x-protobuf"}


def told(
    span: str, *, trace: str = TRACE, parent: str = "", name: str = "work", began: int = NOW, **more: Any
) -> dict[str, Any]:
    return {
        "traceId": trace,
        "spanId": span,
        "parentSpanId": parent,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str(began),
        "endTimeUnixNano": str(began + 2_000_000),
        **more,
    }


def exported(*spans: dict[str, Any], service: str = "web") -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "kit"}, "spans": list(spans)}]}]}


def protobuf(*spans: tuple[bytes, bytes]) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for trace, span in spans:
        scope.spans.add(trace_id=trace, span_id=span, name="work", start_time_unix_nano=NOW, end_time_unix_nano=NOW)
    return request.SerializeToString()


@pytest.fixture
def store() -> Iterator[SpanStore]:
    made = SpanStore(":memory:")
    yield made
    made.close()


@pytest.fixture
def client(store: SpanStore) -> TestClient:
    return TestClient(server.app(store))


def test_what_came_as_json_is_answered_as_jaeger_does(client: TestClient) -> None:
    failed = told(CHILD, parent=ROOT, name="ask", status={"code": 2, "message": "gone"})
    assert client.post("/v1/traces", json=exported(told(ROOT), failed)).json() == {}
    (group,) = client.get(f"/api/v3/traces/{TRACE}").json()["result"]["resourceSpans"]
    root, child = group["scopeSpans"][0]["spans"]
    assert (root["traceId"], root["spanId"], root["name"]) == (TRACE, ROOT, "work")
    assert (child["parentSpanId"], child["status"]) == (ROOT, {"message": "gone", "code": "STATUS_CODE_ERROR"})
    assert group["resource"]["attributes"][0]["value"] == {"stringValue": "web"}
    assert client.get("/api/v3/services").json() == {"services": ["web"]}
    assert client.get("/api/v3/operations?service=web").json() == {"operations": [{"name": "ask"}, {"name": "work"}]}


def test_what_came_as_protobuf_is_the_same(client: TestClient) -> None:
    body = protobuf((bytes.fromhex(TRACE), bytes.fromhex(ROOT)))
    sent = {**PROTOBUF, "content-encoding": "gzip"}
    answer = client.post("/v1/traces", content=gzip.compress(body), headers=sent)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    found = client.get(f"/api/v3/traces/{TRACE}").json()["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [span["spanId"] for span in found] == [ROOT]


def test_grafana_is_answered_in_the_first_format(client: TestClient) -> None:
    client.post("/v1/traces", json=exported(told(ROOT), told(CHILD, parent=ROOT, status={"code": 2})))
    (trace,) = client.get("/api/traces?service=web&limit=5").json()["data"]
    root, child = trace["spans"]
    assert (root["startTime"], root["duration"], root["references"]) == (NOW // 1000, 2000, [])
    assert child["references"] == [{"refType": "CHILD_OF", "traceID": TRACE, "spanID": ROOT}]
    assert {"key": "error", "type": "bool", "value": True} in child["tags"]
    assert trace["processes"][root["processID"]]["serviceName"] == "web"
    assert client.get("/api/services").json()["data"] == ["web"]
    assert client.get("/api/services/web/operations").json()["data"] == ["work"]
    assert client.get(f"/api/traces/{TRACE}").json()["data"][0]["traceID"] == TRACE


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("query.service_name=web", [OTHER, TRACE]),
        ("query.serviceName=web&query.numTraces=1", [OTHER]),
        ("query.operation_name=slow", [OTHER]),
        ("query.duration_min=1s", []),
        ("query.service_name=other", []),
        ("query.start_time_max=2020-01-01T00:00:00Z", []),
    ],
)
def test_a_search_finds_the_newest_whole(client: TestClient, query: str, found: list[str]) -> None:
    client.post("/v1/traces", json=exported(told(ROOT)))
    client.post("/v1/traces", json=exported(told(ROOT, trace=OTHER, name="slow", began=NOW + 1)))
    told_spans = client.get(f"/api/v3/traces?{query}").json()["result"].get("resourceSpans", [])
    traces = [span["traceId"] for group in told_spans for scope in group["scopeSpans"] for span in scope["spans"]]
    assert traces == found


@pytest.fixture
def jaeger(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Jaeger:
    """The client that gameday asks with, in front of the store."""
    asking = Jaeger("http://jaeger")
    monkeypatch.setattr(asking, "_client", client)
    return asking


def test_what_failed_is_searched_for_by_service_name_time_and_error(client: TestClient, jaeger: Jaeger) -> None:
    failed = {"status": {"code": 2, "message": "gone"}}
    client.post("/v1/traces", json=exported(told(ROOT), told(CHILD, name="ask", **failed)))
    client.post("/v1/traces", json=exported(told(ROOT, trace=OTHER, name="ask", began=NOW + 5 * 10**9)))
    now = NOW / 1e9

    def found(**asked: Any) -> list[tuple[str, str]]:
        whole: dict[str, Any] = {"since": now - 1, "until": now + 1, **asked}
        spans = jaeger.spans(whole.pop("service", "web"), whole.pop("since"), whole.pop("until"), **whole)
        return [(span.name, span.error or "") for span in spans]

    assert found() == [("work", ""), ("ask", "gone")]
    assert found(failed=True) == [("ask", "gone")]
    assert found(failed=False) == [("work", "")]
    assert found(name="ask", failed=False) == []
    assert found(name="ask", until=now + 6) == [("ask", "gone"), ("ask", "")]
    assert found(name="ask", until=now + 6, limit=1) == [("ask", "")], "of the newest trace"
    assert found(name="ask", failed=True, until=now + 6, limit=1) == [("ask", "gone")], "of the newest that has one"
    assert found(since=now + 1, until=now + 6) == [("ask", "")]
    assert found(service="other") == []


@pytest.mark.parametrize("asked", ['{"http.method": "GET"}', "error", '{"error": "maybe"}'])
def test_a_search_for_what_the_store_cannot_find_is_refused_and_not_answered_with_anything(
    client: TestClient, asked: str
) -> None:
    for path, name in (("/api/v3/traces", "query.attributes"), ("/api/traces", "tags")):
        assert client.get(path, params={name: asked}).status_code == 400


def test_a_store_that_does_not_search_by_status_may_hide_what_failed(
    client: TestClient, jaeger: Jaeger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_failed", lambda _: None)
    client.post("/v1/traces", json=exported(told(ROOT, name="ask", status={"code": 2})))
    client.post("/v1/traces", json=exported(told(ROOT, trace=OTHER, name="ask", began=NOW + 1)))
    since, until = NOW / 1e9 - 1, NOW / 1e9 + 1
    assert len(jaeger.spans("web", since, until, name="ask", failed=True)) == 1, "all there is was told"
    with pytest.raises(GamedayError, match="does not search by status"):
        jaeger.spans("web", since, until, name="ask", failed=True, limit=1)


def test_a_store_that_is_gone_is_an_error_and_no_empty_answer() -> None:
    with pytest.raises(GamedayError, match="cannot ask"):
        Jaeger.at({"16686": "127.0.0.1:1"}).spans("web", 0.0, 1.0)


def test_a_corrupt_span_is_counted_and_the_others_are_kept(client: TestClient, store: SpanStore) -> None:
    body = protobuf((bytes.fromhex(TRACE), bytes.fromhex(ROOT)), (b"short", bytes(8)), (bytes(16), bytes.fromhex(ROOT)))
    answer = client.post("/v1/traces", content=body, headers=PROTOBUF)
    response = ExportTraceServiceResponse.FromString(answer.content)
    assert response.partial_success.rejected_spans == 2
    assert "16 bytes" in response.partial_success.error_message
    assert store.count == 1


@pytest.mark.parametrize(
    ("content", "headers", "said"),
    [
        (b"\xff\xff\xff", PROTOBUF, "no export request"),
        (b"{", {"content-type": "application/json"}, "no export request"),
        (json.dumps(exported(told("not hex"))).encode(), {"content-type": "application/json"}, "no export request"),
        (b"[" * 100_000, {"content-type": "application/json"}, "no export request"),
        (b"plain", {**PROTOBUF, "content-encoding": "gzip"}, "gzip is broken"),
        (b"plain", {**PROTOBUF, "content-encoding": "br"}, "content-encoding 'br'"),
        (gzip.compress(bytes(otlp.LARGEST + 1)), {**PROTOBUF, "content-encoding": "gzip"}, "after decompression"),
        (bytes(otlp.LARGEST + 1), PROTOBUF, "send fewer"),
    ],
)
def test_what_is_no_export_is_refused_and_why(
    client: TestClient, store: SpanStore, content: bytes, headers: dict[str, str], said: str
) -> None:
    answer = client.post("/v1/traces", content=content, headers=headers)
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert store.count == 0


@pytest.mark.parametrize("query", ["query.num_traces=many", "query.duration_min=long", "query.start_time_min=soon"])
def test_a_wrong_query_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/api/v3/traces?{query}").status_code == 400


def test_an_unknown_trace_is_404(client: TestClient) -> None:
    assert client.get(f"/api/v3/traces/{OTHER}").status_code == 404
    assert client.get(f"/api/traces/{OTHER}").status_code == 404


def test_a_flood_is_told_to_come_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_WAITING", 0)
    answer = client.post("/v1/traces", json=exported(told(ROOT)))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def spans(number: int, began: int = NOW) -> tuple[otlp.Span, ...]:
    many = [told(f"{each + 1:016x}", began=began + each) for each in range(number)]
    return otlp.decode(json.dumps(exported(*many)).encode(), "application/json").spans


def test_a_span_that_is_sent_again_is_one(store: SpanStore) -> None:
    store.add(spans(3))
    store.add(spans(3))
    assert store.count == len(store.trace(TRACE)) == 3


def test_it_is_bounded_by_number_and_the_newest_stay() -> None:
    store = SpanStore(":memory:", most=10)
    store.add(spans(25))
    assert store.count == len(store.trace(TRACE)) <= 10
    assert store.trace(TRACE)[-1].id == f"{25:016x}"
    store.close()


def test_it_is_bounded_by_age() -> None:
    store = SpanStore(":memory:", kept=60)
    store.add(spans(5, began=NOW - 120_000_000_000))
    assert store.count == 0
    store.close()


def test_it_remembers_after_a_restart(tmp_path: Any) -> None:
    first = SpanStore(tmp_path / "spans.sqlite")
    first.add(spans(2))
    first.close()
    second = SpanStore(tmp_path / "spans.sqlite")
    assert (second.count, second.services()) == (2, ["web"])
    second.close()
