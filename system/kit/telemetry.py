"""Logs, traces and the correlation id: what ties the tracks of one request together."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from pydantic_core import to_json

from system.kit.late import Ids, Keeping, LateSpan

CORRELATION_HEADER = "x-correlation-id"
CORRELATION_ID: ContextVar[str] = ContextVar("correlation_id", default="")
# For whom a request is made: told from service to service, and never taken from outside.
USER_HEADER = "x-user-id"
USER_ID: ContextVar[str] = ContextVar("user_id", default="")
TRACER = trace.get_tracer("system")
PROPAGATOR = TraceContextTextMapPropagator()

FLUSH_SECONDS = 2.0

# The standard name of the share of traces that is sampled where they begin. Failed requests are always kept.
SAMPLED_SHARE = "OTEL_TRACES_SAMPLER_ARG"

_exporters: list[SpanExporter] = []
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def setup(service: str, level: str = "info") -> None:
    """Once in the life of a process, before its first request."""
    _setup_logs(service, level)
    _setup_traces(service)


def logger(action: str | None = None) -> structlog.typing.FilteringBoundLogger:
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log.bind(action=action) if action else log


def told(event: str, **fields: Any) -> None:
    """As `logger().info(event, ...)`, for the line that each request has: what makes that one flexible is slow."""
    if not _quiet:
        bound = structlog.contextvars.get_contextvars()
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = {**bound, **fields, "event": event, "level": "info", "timestamp": now}
        _lines.add(_to_text(_context(None, "info", line)))


def correlation_id(received: str | None) -> str:
    """The caller's id where it is a harmless one, else a new one."""
    return received if received and _ACCEPTABLE.fullmatch(received) else uuid.uuid4().hex


def user_id(received: str | None) -> str:
    """The user whom the caller names, "" where it names none that is harmless."""
    return received if received and _ACCEPTABLE.fullmatch(received) else ""


@contextmanager
def correlated(identifier: str) -> Iterator[None]:
    """Within the block it is the work of this id that is done."""
    before = CORRELATION_ID.set(identifier)
    try:
        yield
    finally:
        CORRELATION_ID.reset(before)


def received_context(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """The trace that the caller's W3C headers continue."""
    carrier = {k.decode("latin-1"): v.decode("latin-1") for k, v in headers if k in (b"traceparent", b"tracestate")}
    return PROPAGATOR.extract(carrier) if carrier else Context()


def late_span(
    name: str, kind: SpanKind, parent: Context | None = None, attributes: Mapping[str, AttributeValue] | None = None
) -> LateSpan:
    """For what every request has: a span that costs little unless it is kept."""
    return LateSpan(TRACER, name, kind, ratio=_share(), parent=parent, attributes=attributes)


def outgoing_headers(span: trace.Span | None = None) -> dict[str, str]:
    """What a call made within this request carries along: the trace of `span`, None: of the current one."""
    headers: dict[str, str] = {}
    # Written here (W3C Trace Context, version 00): the propagator takes four times as long.
    here = (span or trace.get_current_span()).get_span_context()
    if here.is_valid:
        headers["traceparent"] = f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"
        if here.trace_state:
            headers["tracestate"] = here.trace_state.to_header()
    if identifier := CORRELATION_ID.get():
        headers[CORRELATION_HEADER] = identifier
    if user := USER_ID.get():
        headers[USER_HEADER] = user
    return headers


def flush() -> None:
    """Sends what the exporter still holds, in at most `FLUSH_SECONDS`, and ends it: nothing is traced hereafter.

    The SDK's own time-out of a flush has no effect (opentelemetry-python, issue 4568): where the collector is
    gone, the exporter's retries would hold up the end of the service for as long as they go on.
    """
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        sending = threading.Thread(target=provider.force_flush, name="flush", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)
        for exporter in _exporters:
            exporter.shutdown()


def _setup_traces(service: str) -> None:
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    # `flush` is its end: at exit nothing is left to be done.
    resource = Resource.create({"service.name": service})
    provider = TracerProvider(resource=resource, sampler=Keeping(_share()), id_generator=Ids(), shutdown_on_exit=False)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        # Only here: the exporter brings `requests` along, which no service wants at start.
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from system.kit.exporter import Exporter

        _exporters.append(Exporter())
        provider.add_span_processor(BatchSpanProcessor(_exporters[-1]))
    trace.set_tracer_provider(provider)


@cache
def _share() -> float:
    return float(os.environ.get(SAMPLED_SHARE, "1"))


def _setup_logs(service: str, level: str) -> None:
    global _quiet  # noqa: PLW0603  as structlog's own configuration, which it belongs to
    _context.service = service
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _context,
        structlog.processors.format_exc_info,
    ]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    _quiet = threshold > logging.INFO
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_to_text)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_to_text),
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)


def _to_text(event: Mapping[str, Any], **_: Any) -> str:
    return to_json(event, fallback=repr).decode()


class _Lines:
    """Written together: those of one turn of the event loop, so that a busy service makes one call for many."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, line: str) -> None:
        loop = asyncio.get_running_loop()
        # One that ended before its turn did has written nothing.
        if not self._waiting or loop is not self._loop:
            loop.call_soon(self._write)
            self._loop = loop
        self._waiting.append(line)

    def _write(self) -> None:
        text = "\n".join((*self._waiting, ""))
        self._waiting.clear()
        sys.stdout.write(text)
        sys.stdout.flush()


class _Context:
    """Adds what every line says of where it comes from."""

    service = ""

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = self.service
        if identifier := CORRELATION_ID.get():
            event["correlationId"] = identifier
        if user := USER_ID.get():
            event.setdefault("userId", user)
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            event["trace_id"] = f"{span.trace_id:032x}"
        return event


_context = _Context()
_lines = _Lines()
_quiet = False
