"""What a provider may change: planted changes that somebody reads are refuted by edge and field, others are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gameday import contracts
from gameday.catalogue import compose
from gameday.contracts import grpc
from gameday.verdict import Finding, Verdict

STREAM = "event: delta\ndata: {}\n\nevent: done\ndata: {}\n\n"
ANSWER = {"left": 3, "title": "Boots", "state": "open", "note": "dry"}
JSON, EVENTS = "application/json", "text/event-stream"

# What each provider change answers: status, headers, body. None: as before.
TEST = "contracts/test_stock.py::test_what_is_left"
BREAKING: dict[str, tuple[int, dict[str, str], Any]] = {
    "renamed": (200, {}, {"remaining": 3, "title": "Boots", "state": "open", "note": "dry"}),
    "type": (200, {}, ANSWER | {"left": "three"}),
    "removed": (200, {}, {key: value for key, value in ANSWER.items() if key != "title"}),
    "status": (202, {}, ANSWER),
    "header": (200, {"x-kind": ""}, ANSWER),
    "enum": (200, {}, ANSWER | {"state": "ajar"}),
    "null": (200, {}, ANSWER | {"note": None}),
    "order": (200, {}, "event: done\ndata: {}\n\nevent: delta\ndata: {}\n\n"),
    "message": (200, {}, {"item": 7}),
}
HARMLESS: dict[str, tuple[int, dict[str, str], Any]] = {
    "added": (200, {}, ANSWER | {"colour": "brown"}),
    "reordered": (200, {}, dict(reversed(ANSWER.items()))),
    "another value": (200, {}, ANSWER | {"left": 11, "title": "Shoes"}),
    "another enum value that is known": (200, {}, ANSWER | {"state": "shut"}),
    "another header": (200, {"x-more": "1"}, ANSWER),
}
SERVER = """
import http.server, json, os, urllib.parse
ANSWERS = json.load(open("answers.json"))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        self.answer(asked.get("description", ""))
    def do_GET(self):
        self.answer(urllib.parse.unquote(self.path[1:]))
    def answer(self, name):
        # A verifier also announces an interaction that wants no state.
        status, headers, body = ANSWERS.get(name, [404, {}, ""]) if name else [200, {}, {}]
        self.send_response(status)
        kind = "text/event-stream" if isinstance(body, str) else "application/json"
        for key, value in ({"content-type": kind, "x-kind": "stock"} | headers).items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body.encode() if isinstance(body, str) else json.dumps(body).encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
COMPOSE = """services:
  stock:
    build: .
    command: [python, provider.py]
    environment: {PORT: 80}
    expose: ["80"]
    x-gameday: {provider-states: {path: /states, messages: /messages}}
"""


def matched(kind: str, **more: Any) -> dict[str, Any]:
    return {"combine": "AND", "matchers": [{"match": kind, **more}]}


def promise(name: str) -> dict[str, Any]:
    """The same for every change: only who answers differs."""
    if name == "message":
        contents = {
            "content": {"item": "item-1"},
            "contentType": JSON,
            "encoded": False,
        }
        rules = {"body": {"$.item": matched("type")}}
        return {
            "type": "Asynchronous/Messages",
            "comments": {"testname": TEST},
            "description": name,
            "contents": contents,
            "matchingRules": rules,
        }
    body: dict[str, Any] = {"content": ANSWER, "contentType": JSON, "encoded": False}
    rules = {"body": {"$.left": matched("integer"), "$.title": matched("type"), "$.note": matched("type")}}
    rules["body"]["$.state"] = matched("regex", regex="^(open|shut)$")
    headers = {"x-kind": ["stock"]}
    if name == "order":
        body = {"content": STREAM, "contentType": EVENTS, "encoded": False}
        rules = {
            "body": {"$": matched("regex", regex="^(event: delta\\ndata: .*\\n\\n)+event: done\\ndata: .*\\n\\n$")}
        }
    response = {"status": 200, "headers": headers, "body": body, "matchingRules": rules}
    request = {"method": "GET", "path": "/" + name.replace(" ", "%20")}
    return {
        "type": "Synchronous/HTTP",
        "description": name,
        "comments": {"testname": TEST},
        "request": request,
        "response": response,
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    """What is said of each change, all of them made by one provider."""
    directory = tmp_path_factory.mktemp("drift")
    (directory / "answers.json").write_text(json.dumps(BREAKING | HARMLESS))
    (directory / "provider.py").write_text(SERVER)
    (directory / "docker-compose.yml").write_text(COMPOSE)
    pact = {
        "consumer": {"name": "shop"},
        "provider": {"name": "stock"},
        "interactions": [promise(name) for name in BREAKING | HARMLESS],
        "metadata": {"pactSpecification": {"version": "4.0"}},
    }
    (directory / "pacts").mkdir()
    (directory / "pacts" / "shop-stock.json").write_text(json.dumps(pact, indent=1))
    catalogue = compose.load([directory / "docker-compose.yml"], environment={})
    [result] = contracts.verify(catalogue, {}, contracts.read_all(directory / "pacts"))
    assert result.name == "shop->stock"
    return {finding.subject: finding for finding in result.findings}


WHERE = {
    "renamed": "left",
    "type": "left",
    "removed": "title",
    "status": "202",
    "header": "x-kind",
    "enum": "state",
    "null": "note",
    "order": "event: done",
    "message": "item",
}


@pytest.mark.parametrize("change", BREAKING)
def test_what_somebody_reads_is_refuted_with_its_place(found: dict[str, Finding], change: str) -> None:
    finding = found[change]
    assert finding.verdict is Verdict.REFUTED, finding
    assert WHERE[change] in finding.observed + finding.detail
    assert Path(finding.file or "").name == "shop-stock.json"
    assert f"agreed by {TEST}" in finding.detail


@pytest.mark.parametrize("change", HARMLESS)
def test_what_nobody_reads_may_change(found: dict[str, Finding], change: str) -> None:
    assert found[change].verdict is Verdict.CONFIRMED, found[change]


PROTO = """syntax = "proto3";
package shop;
service Stock { rpc Ask(Asked) returns (Told); }
message Asked { string item = 1; }
message Told { uint32 left = 1; State state = 2; }
enum State { OPEN = 0; SHUT = 1; }
"""


def said(directory: Path, text: str) -> FileDescriptorSet:
    (directory / "stock.proto").write_text(text)
    return grpc.compiled(directory / "stock.proto")


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("left = 1", "left = 3", "shop.Told.left: number 1 is gone"),
        ("uint32 left", "string left", "shop.Told.left: another type"),
        ("uint32 left", "repeated uint32 left", "shop.Told.left: one became many, or many one"),
        (" left", " rest", "shop.Told.left: number 1 is now called rest"),
        (" SHUT = 1;", "", "shop.State.SHUT: number 1 is gone"),
        ("rpc Ask(Asked)", "rpc Ask(stream Asked)", "rpc shop.Stock/Ask is gone or takes and gives something else"),
    ],
)
def test_what_was_released_of_a_proto_stays(tmp_path: Path, before: str, after: str, place: str) -> None:
    released = said(tmp_path, PROTO)
    assert grpc.differences(released, said(tmp_path, PROTO.replace(before, after))) == [place]


def test_a_proto_may_grow(tmp_path: Path) -> None:
    released = said(tmp_path, PROTO)
    grown = PROTO.replace("state = 2;", "state = 2; string note = 3;").replace("SHUT = 1;", "SHUT = 1; AJAR = 2;")
    assert grpc.differences(released, said(tmp_path, grown)) == []


@pytest.mark.parametrize(
    ("told", "lacks"),
    [
        ({"items": [{"id": "b", "score": 1}], "source": "MODEL"}, []),
        ({"items": [], "source": "MODEL"}, ["$.items: expected at least one, got []"]),
        ({"items": [{"id": "b", "score": 1}], "source": "POPULAR"}, ['$.source: expected MODEL, got "POPULAR"']),
        ({"items": [{"id": 7, "score": 1}], "source": "MODEL"}, ['$.items[0].id: expected something like "a", got 7']),
    ],
)
def test_a_recorded_answer_has_to_keep_its_shape(told: dict[str, Any], lacks: list[str]) -> None:
    assert grpc.lacking({"items": [{"id": "a", "score": 0.5}], "source": "MODEL"}, told) == lacks
