"""Toxics of HTTP: a provider that is not asked, one that answers late, one that answers nonsense."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import h11

from gameday.proxy.exchanges import Answers, Exchange, Requests
from gameday.proxy.messages import Piece

# What a body is read by, which is that of another body now.
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"trailer"})
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class HttpStatus(Requests):
    """Requests are answered with `status`; the provider does not hear of them."""

    defaults: ClassVar[Mapping[str, Any]] = {**Requests.defaults, "status": 503}

    _closing = False

    def put(self, chunk: bytes | None) -> None:
        if chunk is not None and self._closing:
            self.link.spare(1)
        else:
            super().put(chunk)

    def taken(self, piece: Piece, exchange: Exchange) -> bytes:
        if not exchange.met:
            return piece.raw
        if isinstance(piece.event, h11.Request):
            self._closing = exchange.closes = _closes(piece.event)
        # The rest of a request that ends its connection need not be waited for.
        if isinstance(piece.event, h11.Request if exchange.closes else h11.EndOfMessage):
            self.link.met(self)
            exchange.ours = self._answer(exchange)
            self.answers.settle()
        return b""

    def detached(self) -> None:
        if self._closing or (self.exchange is not None and self.exchange.met):
            self.link.close()
        super().detached()

    def _answer(self, exchange: Exchange) -> bytes:
        status = int(self.number("status"))
        reason = _reason(status)
        body = json.dumps({"type": "about:blank", "title": reason, "status": status}).encode()
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
        if exchange.closes:
            headers.append((b"connection", b"close"))
        head = _head(b"1.1", status, reason.encode(), headers)
        return head if exchange.method == b"HEAD" else head + body


class LateAnswers(Answers):
    defaults: ClassVar[Mapping[str, Any]] = {"delay": 0}

    def taken(self, piece: Piece, exchange: Exchange) -> bytes:
        if exchange.met and isinstance(piece.event, h11.Response):
            self.link.met(self)
            self.last = max(self.last, time.monotonic() + self.seconds("delay"))
        return piece.raw


class HttpDelay(Requests):
    """Each answer waits `delay` from its first byte on, and then comes as it would have."""

    answered_by = LateAnswers
    defaults: ClassVar[Mapping[str, Any]] = {**Requests.defaults, **LateAnswers.defaults}


class GarbledAnswers(Answers):
    defaults: ClassVar[Mapping[str, Any]] = {"body": "{"}

    def taken(self, piece: Piece, exchange: Exchange) -> bytes:
        if isinstance(piece.event, h11.Response):
            exchange.met = exchange.met and exchange.method != b"HEAD" and piece.event.status_code not in _BODILESS
        if not exchange.met or isinstance(piece.event, h11.InformationalResponse):
            return piece.raw
        if not isinstance(piece.event, h11.Response):
            return b""
        exchange.touched = True
        self.link.met(self)
        return self._garbled(piece.event)

    def detached(self) -> None:
        if self.due and self.due[0].touched:
            self.link.close()
        super().detached()

    def _garbled(self, told: h11.Response) -> bytes:
        body = str(self.toxic.attributes.get("body", self.defaults["body"])).encode()
        kept = [(name, value) for name, value in told.headers.raw_items() if name.lower() not in _FRAMING]
        headers = [*kept, (b"content-length", b"%d" % len(body))]
        return _head(told.http_version, told.status_code, told.reason, headers) + body


class HttpGarbage(Requests):
    """The body of each answer is `body`; its status and its other headers are the provider's."""

    answered_by = GarbledAnswers
    defaults: ClassVar[Mapping[str, Any]] = {**Requests.defaults, **GarbledAnswers.defaults}


def _closes(request: h11.Request) -> bool:
    """Whether the connection ends with the answer: who waits for leave to send the body does not get it."""
    told = {name: value.lower() for name, value in request.headers}
    connection = told.get(b"connection", b"close" if request.http_version == b"1.0" else b"")
    return b"close" in connection or b"expect" in told


def _head(version: bytes, status: int, reason: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    lines = [b"HTTP/%b %d %b" % (version, status, reason), *(b"%b: %b" % each for each in headers)]
    return b"\r\n".join([*lines, b"", b""])


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
