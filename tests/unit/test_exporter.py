"""Spans that the collector did not take are counted, and those that it took are not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from system.kit import signals
from system.kit.exporter import Exporter


class Collector(BaseHTTPRequestHandler):
    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: a test is silent."""


class Refusing(Collector):
    status = 400


@contextmanager
def collector(kind: type[Collector]) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    finally:
        server.shutdown()
        server.server_close()


def lost(endpoint: str, spans: int) -> float:
    """How many of `spans` are counted as lost."""
    before = signals.SPANS_LOST._value.get()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Exporter(endpoint=endpoint, timeout=0.2)))
    for number in range(spans):
        provider.get_tracer("test").start_span(f"span {number}").end()
    return signals.SPANS_LOST._value.get() - before


@pytest.mark.parametrize(("kind", "counted"), [(Collector, 0), (Refusing, 3)])
def test_what_the_collector_takes_is_not_lost_and_what_it_refuses_is(kind: type[Collector], counted: int) -> None:
    with collector(kind) as endpoint:
        assert lost(endpoint, 3) == counted


def test_what_nobody_takes_is_lost() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert lost(f"http://127.0.0.1:{taken.getsockname()[1]}/v1/traces", 2) == 2
