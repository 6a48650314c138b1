"""`Grafana.push` against a fake of Grafana's HTTP protocol: none of the real one is to be had here.

The fake keeps dashboards as the real one does (it adds `id` and `version`) and
answers as its HTTP API documents; it is no more than that.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gameday.errors import GamedayError, InputError
from gameday.tools.grafana import Grafana

TOKEN = "glsa_good"
MODEL = {"uid": "resilience", "title": "Resilience", "panels": [{"id": 1, "title": "Breaker state"}]}


class FakeGrafana(ThreadingHTTPServer):
    """`fails` is the status of every answer to a write, `broken` of every answer at all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.writes: list[dict[str, Any]] = []
        self.fails: int | None = None
        self.broken: int | None = None
        self.folder = ""
        self.prefix = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{self.prefix}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeGrafana

    def do_GET(self) -> None:
        known = self.server.dashboards.get(self.path.rpartition("/")[2])
        if not self._refused():
            meta = {"folderUid": self.server.folder}
            self._answer(200, {"dashboard": known, "meta": meta}) if known else self._answer(
                404, {"message": "Dashboard not found"}
            )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._refused():
            return
        if self.server.fails:
            self._answer(self.server.fails, {"message": "no"})
            return
        self.server.writes.append(body)
        stored = body["dashboard"]
        version = self.server.dashboards.get(stored["uid"], {}).get("version", 0) + 1
        self.server.dashboards[stored["uid"]] = {**stored, "id": 7, "version": version}
        self._answer(200, {"status": "success", "uid": stored["uid"], "version": version})

    def _refused(self) -> bool:
        if self.server.broken:
            self._answer(self.server.broken, {"message": "broken"})
        elif not self.path.startswith(f"{self.server.prefix}/api/"):
            self._answer(404, None)
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, {"message": "Invalid API key"})
        else:
            return False
        return True

    def _answer(self, status: int, body: dict[str, Any] | None) -> None:
        content = b"<html>" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if body is None else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    server = FakeGrafana()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_push_creates_and_a_second_one_changes_nothing(grafana: FakeGrafana) -> None:
    client = Grafana(grafana.url, TOKEN)
    assert [client.push(MODEL), client.push(MODEL)] == ["created", "unchanged"]
    assert len(grafana.writes) == 1
    assert grafana.dashboards["resilience"]["panels"] == MODEL["panels"]


def test_what_somebody_changed_in_grafana_is_put_right_in_its_folder(grafana: FakeGrafana) -> None:
    client = Grafana(grafana.url, TOKEN)
    client.push(MODEL)
    grafana.dashboards["resilience"]["title"] = "Mine"
    grafana.folder = "teamfolder"
    assert client.push(MODEL) == "updated"
    assert grafana.dashboards["resilience"]["title"] == "Resilience"
    assert grafana.writes[-1]["folderUid"] == "teamfolder"
    assert grafana.writes[-1]["overwrite"] is True


def test_the_note_that_a_file_is_generated_is_not_pushed(grafana: FakeGrafana) -> None:
    Grafana(grafana.url, TOKEN).push({**MODEL, "__generated": "note"})
    assert "__generated" not in grafana.dashboards["resilience"]


def test_a_grafana_under_a_path_is_found_with_and_without_a_slash(grafana: FakeGrafana) -> None:
    grafana.prefix = "/grafana"
    assert Grafana(grafana.url, TOKEN).push(MODEL) == "created"
    assert Grafana(f"{grafana.url}/", TOKEN).push(MODEL) == "unchanged"


def test_a_wrong_token_is_the_users_to_mend(grafana: FakeGrafana) -> None:
    with pytest.raises(InputError) as caught:
        Grafana(grafana.url, "wrong").push(MODEL)
    assert "does not know the token" in str(caught.value)
    assert "service account token" in caught.value.problems[0].mend


def test_an_address_without_grafana_is_the_users_to_mend(grafana: FakeGrafana) -> None:
    elsewhere = f"{grafana.url}/elsewhere"
    grafana.prefix = "/grafana"
    with pytest.raises(InputError, match="no Grafana API"):
        Grafana(elsewhere, TOKEN).push(MODEL)


@pytest.mark.parametrize("url", ["localhost:3000", "", "ftp://grafana"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(InputError, match="no address"):
        Grafana(url, TOKEN)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (401, InputError, "token"),
        (403, InputError, "may not write"),
        (404, InputError, "no Grafana API"),
        (409, GamedayError, "provisioned from elsewhere"),
        (412, GamedayError, "newer version"),
        (500, GamedayError, "failed with status 500"),
        (503, GamedayError, "failed with status 503"),
    ],
)
def test_what_grafana_refuses_to_write_is_told(
    grafana: FakeGrafana, status: int, kind: type[Exception], told: str
) -> None:
    grafana.fails = status
    with pytest.raises(kind, match=told):
        Grafana(grafana.url, TOKEN).push(MODEL)
    assert grafana.dashboards == {}


def test_a_grafana_that_fails_to_read_is_not_written_to(grafana: FakeGrafana) -> None:
    grafana.broken = 500
    with pytest.raises(GamedayError, match="failed with status 500"):
        Grafana(grafana.url, TOKEN).push(MODEL)
    assert grafana.writes == []


def test_nobody_at_the_address_is_told_with_the_address(grafana: FakeGrafana) -> None:
    url = grafana.url
    grafana.shutdown()
    grafana.server_close()
    with pytest.raises(GamedayError, match=url):
        Grafana(url, TOKEN).push(MODEL)
