"""A fake of the Pact Broker's HAL API, as far as gameday speaks it: what is published is kept, and answers."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "a-broker-token"
ENVIRONMENT = "5f2a"


class FakeBroker:
    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.deployed: list[str] = []
        self.matrix: dict[str, Any] = {"summary": {"deployable": None, "reason": "no version is known"}, "matrix": []}
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.url = ""

    def contents(self) -> list[dict[str, Any]]:
        return [json.loads(base64.b64decode(each["content"])) for told in self.published for each in told["contracts"]]

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        self.asked.append((path, query))
        if method == "GET":
            found = self._shown(path)
            return (404, {"error": path}) if found is None else (200, found)
        if path == "/contracts/publish":
            self.published.append(body)
        elif path.startswith("/results"):
            self.results.setdefault(path.removeprefix("/results"), []).append(body)
        elif "/deployed-versions/" in path:
            self.deployed.append(path)
        else:
            return 404, {"error": path}
        return 201, {}

    def _shown(self, path: str) -> Any:
        if path.startswith("/pacts/provider/"):
            return {"_links": {"pb:publish-verification-results": {"href": f"{self.url}/results{path}"}}}
        links = {"pb:publish-contracts": "/contracts/publish", "pb:environments": "/environments"}
        return {
            "/": {"_links": {name: {"href": self.url + where} for name, where in links.items()}},
            "/environments": {"_embedded": {"environments": [{"name": "live", "uuid": ENVIRONMENT}]}},
            "/matrix": self.matrix,
        }.get(path)


@contextmanager
def serving() -> Iterator[FakeBroker]:
    fake = FakeBroker()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            where = urlsplit(self.path)
            if self.headers.get("authorization") != f"Bearer {TOKEN}":
                status, told = 401, {}
            else:
                status, told = fake.answer(self.command, unquote(where.path), parse_qs(where.query), body)
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/hal+json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield fake
        server.shutdown()
