"""Receives Alertmanager's notifications and writes each alert to a journal.

Listens on loopback, on a free port, for `POST /alerts` alone; checks the Host
header and a token that only the configuration written for Alertmanager holds.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gameday.journal import Journal
from gameday.runtime import Endpoint
from gameday.runtime.ports import LOOPBACK

_USER = "gameday"
_LARGEST = 8 << 20
_SECONDS = 10.0


class Webhook:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._token = secrets.token_urlsafe(24)
        self._server: asyncio.Server | None = None
        self._endpoint = Endpoint(LOOPBACK, 0)

    @property
    def address(self) -> str:
        """What stands for `host:port` in a URL: with the token, as user and password."""
        return f"{_USER}:{self._token}@{self._endpoint}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self._endpoint = Endpoint(LOOPBACK, self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection: Alertmanager sends one in seconds."""
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_SECONDS):
                status = await self._take(reader)
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("host") != str(self._endpoint) or not self._authorised(headers):
            return "403 Forbidden"
        if not request.startswith("POST /alerts "):
            return "404 Not Found"
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > _LARGEST:
            return "411 Length Required"
        return self._record(await reader.readexactly(int(length)))

    def _authorised(self, headers: Mapping[str, str]) -> bool:
        expected = "Basic " + base64.b64encode(f"{_USER}:{self._token}".encode()).decode()
        return hmac.compare_digest(headers.get("authorization", "").encode(), expected.encode())

    def _record(self, body: bytes) -> str:
        try:
            alerts = [_alert(each) for each in json.loads(body)["alerts"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            return "400 Bad Request"
        for alert in alerts:
            self._journal.append("alert", **alert)
        return "200 OK"


def _alert(raw: Mapping[str, Any]) -> dict[str, Any]:
    labels = raw["labels"]
    kept = {key: raw.get(key) for key in ("status", "annotations", "startsAt", "endsAt")}
    return {"name": labels.get("alertname"), "labels": labels, **kept}
