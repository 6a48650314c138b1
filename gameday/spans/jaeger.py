"""The first version of Jaeger's query format, which Grafana's data source asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from gameday.spans import otlp
from gameday.spans.otlp import Span

_TYPES = {bool: "bool", int: "int64", float: "float64"}


def trace(spans: Sequence[Span]) -> dict[str, Any]:
    """One trace. Times are microseconds, as Jaeger's are."""
    processes: dict[bytes, str] = {}
    told = [_span(span, processes.setdefault(span.resource, f"p{len(processes) + 1}")) for span in spans]
    return {
        "traceID": spans[0].trace,
        "spans": told,
        "processes": {name: _process(Resource.FromString(body)) for body, name in processes.items()},
        "warnings": None,
    }


def _span(span: Span, process: str) -> dict[str, Any]:
    message = otlp.message(span)
    tags = [*otlp.attributes(message), ("span.kind", Message.SpanKind.Name(message.kind)[10:].lower())]
    if span.failed:
        tags += [("error", True), ("otel.status_description", message.status.message)]
    parents = [_reference("CHILD_OF", span.trace, span.parent)] if span.parent else []
    links = [_reference("FOLLOWS_FROM", link.trace_id.hex(), link.span_id.hex()) for link in message.links]
    return {
        "traceID": span.trace,
        "spanID": span.id,
        "operationName": span.name,
        "references": parents + links,
        "startTime": span.start // 1000,
        "duration": max(0, span.end - span.start) // 1000,
        "tags": _tags(tags),
        "logs": [
            {"timestamp": event.time_unix_nano // 1000, "fields": _tags([("event", event.name)])}
            for event in message.events
        ],
        "processID": process,
        "warnings": None,
    }


def _reference(kind: str, trace_id: str, span_id: str) -> dict[str, str]:
    return {"refType": kind, "traceID": trace_id, "spanID": span_id}


def _process(resource: Resource) -> dict[str, Any]:
    found = dict(otlp.attributes(resource))
    return {"serviceName": found.pop("service.name", "unknown_service"), "tags": _tags(found.items())}


def _tags(found: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [{"key": key, "type": _TYPES.get(type(value), "string"), "value": value} for key, value in found]
