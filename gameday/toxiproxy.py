"""Toxiproxy's HTTP API for the edges of the running system, so that its existing clients break them.

Its proxies are the edges, its toxics the faults of an edge under the same names: each is a lease, which ends with its
time or with whoever serves this. The API: https://github.com/Shopify/toxiproxy#http-api.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

from gameday import activities
from gameday.control import Control
from gameday.errors import GamedayError, InputError

# The release whose API this is; clients ask for it.
VERSION = "2.12.0"
DOWN, TOXICITY, STREAM = "down", 1.0, "downstream"
CALL_SECONDS = 60.0
LIMIT_BYTES = 65_536


class RefusedError(Exception):
    """What a client asked for cannot be; `status` as Toxiproxy answers."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Held:
    """A toxic as its client described it, and the lease that it is."""

    toxic: Mapping[str, Any]
    lease: str


@dataclass
class Toxiproxy:
    """The API without its HTTP. `ttl` in seconds: no toxic lasts longer. All methods raise RefusedError."""

    control: Control
    ttl: float
    run: str = field(default_factory=lambda: f"toxiproxy-{secrets.token_hex(4)}")
    _held: dict[str, dict[str, Held]] = field(default_factory=dict)
    # One control connection, and clients ask side by side.
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """The status and the JSON, None for none."""
        if not isinstance(body, dict) and path != "/populate":
            raise RefusedError(400, "bad request body: an object is expected")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        with self._lock:
            self._forget_ended()
            if parts[0] == "proxies" and len(parts) > 1:
                return self._below(method, parts[1:], body)
            match method, parts:
                case "GET", ["version"]:
                    return 200, {"version": VERSION}
                case "POST", ["reset"]:
                    self.close()
                    return 204, None
                case "POST", ["populate"]:
                    return 201, {"proxies": [self._proxy(str(each["name"])) for each in body]}
                case "GET", ["proxies"]:
                    return 200, {name: self._shown(name, wire) for name, wire in self._wires().items()}
                case "POST", ["proxies"]:
                    self._proxy(str(body.get("name")))
                    raise RefusedError(409, "proxy already exists: proxies are the edges of the system that runs")
        raise RefusedError(404, f"there is no {method} {path}")

    def _below(self, method: str, parts: list[str], body: Mapping[str, Any]) -> tuple[int, Any]:
        match parts:
            case [name]:
                return self._on_proxy(method, name, body)
            case [name, "toxics"]:
                return self._on_toxics(method, name, body)
            case [name, "toxics", toxic]:
                return self._on_toxic(method, name, toxic, body)
        raise RefusedError(404, f"there is nothing at {'/'.join(parts)}")

    def close(self) -> None:
        """Undoes all that was made here."""
        with self._lock:
            self._undo(run=self.run)
            self._held.clear()

    def _on_proxy(self, method: str, name: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        proxy = self._proxy(name)
        if method == "DELETE":
            raise RefusedError(403, "an edge of the system cannot be deleted; disable it")
        enabled = body.get("enabled", proxy["enabled"])
        if method in {"POST", "PATCH"} and enabled is not proxy["enabled"]:
            if enabled:
                self._remove(name, DOWN)
            else:
                self._add(name, DOWN, {"name": DOWN, "type": DOWN}, {})
        return 200, self._proxy(name)

    def _on_toxics(self, method: str, name: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        toxics = self._proxy(name)["toxics"]
        if method == "GET":
            return 200, toxics
        if method != "POST":
            raise RefusedError(405, "toxics are listed or made")
        stream = body.get("stream") or STREAM
        toxic = body.get("name") or f"{body.get('type')}_{stream}"
        if toxic in self._of(name):
            raise RefusedError(409, f"toxic already exists: {toxic}")
        return 200, self._make(name, {**body, "name": toxic, "stream": stream})

    def _on_toxic(self, method: str, name: str, toxic: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        self._proxy(name)
        if toxic not in self._of(name):
            raise RefusedError(404, f"toxic not found: {toxic}")
        before = self._of(name)[toxic].toxic
        if method == "GET":
            return 200, before
        self._remove(name, toxic)
        if method == "DELETE":
            return 204, None
        changed = {**before, **({"toxicity": body["toxicity"]} if "toxicity" in body else {})}
        changed["attributes"] = {**before["attributes"], **body.get("attributes", {})}
        try:
            return 200, self._make(name, changed)
        except RefusedError:
            self._make(name, before)  # what cannot be changed stays as it was
            raise

    def _make(self, name: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        attributes, toxicity = dict(asked.get("attributes") or {}), float(asked.get("toxicity", TOXICITY))
        if DOWN in (asked.get("type"), asked["name"]):
            raise RefusedError(400, "invalid toxic type: disable the proxy")
        told = {key: asked[key] for key in ("name", "type", "stream") if key in asked}
        toxic = {**told, "toxicity": toxicity, "attributes": attributes}
        self._add(name, str(asked["name"]), toxic, {**attributes, "stream": asked["stream"], "toxicity": toxicity})
        return toxic

    def _add(self, name: str, toxic: str, told: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        try:
            fault = str(told.get("type"))
            lease = activities.put_in_force(self.control, fault, name, arguments, ttl=self.ttl, run=self.run)
        except (InputError, GamedayError) as error:
            raise RefusedError(400, str(error)) from error
        self._held.setdefault(name, {})[toxic] = Held(told, lease["id"])

    def _remove(self, name: str, toxic: str) -> None:
        self._undo(lease=self._held[name][toxic].lease)
        del self._held[name][toxic]

    def _undo(self, **which: str) -> None:
        leaked = [
            each for each in self.control.call("undo", **which, timeout=CALL_SECONDS) if each["state"] == "leaked"
        ]
        if leaked:
            raise RefusedError(500, "; ".join(f"{each['id']} leaked: {each['error']}" for each in leaked))

    def _forget_ended(self) -> None:
        """A lease may have ended by itself."""
        alive = {each["id"] for each in self.control.call("leases", run=self.run) if each["state"] == "in-force"}
        for name, toxics in self._held.items():
            self._held[name] = {toxic: held for toxic, held in toxics.items() if held.lease in alive}

    def _of(self, name: str) -> Mapping[str, Held]:
        return self._held.get(name, {})

    def _proxy(self, name: str) -> dict[str, Any]:
        wire = self._wires().get(name)
        if wire is None:
            raise RefusedError(404, f"proxy not found: {name}; proxies are the edges of a system that is wired")
        return self._shown(name, wire)

    def _shown(self, name: str, wire: Mapping[str, Any]) -> dict[str, Any]:
        held = self._of(name)
        return {
            "name": name,
            "listen": wire["listen"],
            "upstream": ",".join(wire["upstreams"]),
            "enabled": DOWN not in held,
            "toxics": [each.toxic for toxic, each in held.items() if toxic != DOWN],
        }

    def _wires(self) -> dict[str, Mapping[str, Any]]:
        """By the name under which a fault takes an edge: with the port where a pair has several."""
        wires = self.control.call("wires")
        names = [wire["edge"] for wire in wires]
        return {
            wire["edge"] if names.count(wire["edge"]) == 1 else f"{wire['edge']}:{wire['port']}": wire for wire in wires
        }


class Server(ThreadingHTTPServer):
    """On loopback, for whoever has the token: as the password of `http://any:TOKEN@host`, or as a bearer."""

    daemon_threads = True

    def __init__(self, api: Toxiproxy, port: int, token: str) -> None:
        self.api = api
        self.token = token
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = 30.0

    def _serve(self) -> None:
        try:
            length = int(self.headers.get("content-length") or 0)
            if length > LIMIT_BYTES:
                raise RefusedError(413, f"a body may have at most {LIMIT_BYTES} bytes")
            content = self.rfile.read(length)
            if not _lets_in(self.headers.get("authorization", ""), self.server.token):
                raise RefusedError(401, "the token is the password of the address, or a bearer")
            status, told = self._answered(content)
        except RefusedError as error:
            status, told = error.status, {"error": str(error), "status": error.status}
        except (GamedayError, InputError) as error:
            status, told = 503, {"error": str(error), "status": 503}
        body = b"" if told is None else json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        if status != 204:  # noqa: PLR2004
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answered(self, content: bytes) -> tuple[int, Any]:
        try:
            return self.server.api.answer(self.command, self.path.partition("?")[0], json.loads(content or b"{}"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RefusedError(400, f"bad request body: {error}") from error

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def log_message(self, *_: Any) -> None: ...


def _lets_in(authorization: str, token: str) -> bool:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return False
    return hmac.compare_digest(value.encode(), token.encode())
