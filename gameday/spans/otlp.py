"""OTLP over HTTP: export requests to spans and back, as protobuf and as JSON.

The JSON of OTLP is protobuf's, but for ids: hexadecimal, where protobuf has base64
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

# Bytes of one export request, also after decompression. The SDKs send 512 spans at a time.
LARGEST = 16 << 20
_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
_TRACE_BYTES, _SPAN_BYTES = 16, 8


@dataclass(frozen=True)
class Span:
    """One span as it came, with what it is searched by. Times are nanoseconds since the epoch, ids hexadecimal."""

    trace: str
    id: str
    parent: str
    service: str
    name: str
    start: int
    end: int
    failed: bool
    resource: bytes
    scope: str
    body: bytes


@dataclass(frozen=True)
class Export:
    spans: tuple[Span, ...]
    rejected: tuple[str, ...]


def decode(body: bytes, content_type: str, encoding: str = "") -> Export:
    """The spans of one export request. Raises ValueError where it is none."""
    request = _parse(_inflated(body, encoding), content_type)
    spans, rejected = [], []
    for each in request.resource_spans:
        resource = each.resource.SerializeToString(deterministic=True)
        service = _service(each.resource)
        for scope in each.scope_spans:
            for message in scope.spans:
                if reason := _wrong(message):
                    rejected.append(f"{message.name!r}: {reason}")
                else:
                    spans.append(_span(message, service, resource, scope.scope.name))
    return Export(tuple(spans), tuple(rejected))


def answer(export: Export, content_type: str) -> bytes:
    """What the exporter is told: all is kept, or how many were not, and why."""
    response = ExportTraceServiceResponse()
    if export.rejected:
        response.partial_success.rejected_spans = len(export.rejected)
        response.partial_success.error_message = "; ".join(export.rejected[:3])
    if _is_json(content_type):
        return str(json_format.MessageToJson(response, indent=None)).encode()
    return bytes(response.SerializeToString())


def encode(spans: Iterable[Span]) -> dict[str, Any]:
    """As Jaeger's query API v3 answers: OTLP's JSON, one entry a resource and scope."""
    data = TracesData()
    groups: dict[tuple[bytes, str], Any] = {}
    for span in spans:
        group = groups.get((span.resource, span.scope))
        if group is None:
            entry = data.resource_spans.add()
            entry.resource.ParseFromString(span.resource)
            group = groups[span.resource, span.scope] = entry.scope_spans.add()
            group.scope.name = span.scope
        group.spans.add().ParseFromString(span.body)
    told: dict[str, Any] = _ids(json_format.MessageToDict(data), lambda text: base64.b64decode(text).hex())
    return told


def message(span: Span) -> Message:
    found = Message()
    found.ParseFromString(span.body)
    return found


def attributes(found: Message | Resource) -> Iterator[tuple[str, Any]]:
    """Name and plain value of each attribute; lists and maps as JSON."""
    for each in found.attributes:
        kind = each.value.WhichOneof("value")
        plain = kind in ("string_value", "bool_value", "int_value", "double_value")
        yield each.key, getattr(each.value, kind) if plain else json_format.MessageToJson(each.value, indent=None)


def _parse(body: bytes, content_type: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        if _is_json(content_type):
            told = _ids(json.loads(body), lambda text: base64.b64encode(bytes.fromhex(text)).decode())
            json_format.ParseDict(told, request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        raise ValueError(f"no export request of OTLP: {error}") from error
    return request


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _inflated(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise ValueError(f"cannot read content-encoding {encoding!r}; send gzip or none")
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(body, LARGEST)
    except zlib.error as error:
        raise ValueError(f"the gzip is broken: {error}") from error
    if inflate.unconsumed_tail:
        raise ValueError(f"more than {LARGEST} bytes after decompression")
    return plain


def _ids(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with every id in its other spelling."""
    if isinstance(value, dict):
        return {
            key: change(each) if key in _IDS and isinstance(each, str) else _ids(each, change)
            for key, each in value.items()
        }
    return [_ids(each, change) for each in value] if isinstance(value, list) else value


def _wrong(message: Message) -> str:
    if len(message.trace_id) != _TRACE_BYTES or not any(message.trace_id):
        return "the trace id has not 16 bytes, or only zeros"
    if len(message.span_id) != _SPAN_BYTES or not any(message.span_id):
        return "the span id has not 8 bytes, or only zeros"
    if message.parent_span_id and len(message.parent_span_id) != _SPAN_BYTES:
        return "the parent's id has not 8 bytes"
    if max(message.start_time_unix_nano, message.end_time_unix_nano) >= 1 << 63:
        return "its time is beyond the year 2262"
    return ""


def _service(resource: Resource) -> str:
    return str(dict(attributes(resource)).get("service.name", "unknown_service"))


def _span(message: Message, service: str, resource: bytes, scope: str) -> Span:
    return Span(
        trace=message.trace_id.hex(),
        id=message.span_id.hex(),
        parent=message.parent_span_id.hex(),
        service=service,
        name=message.name,
        start=message.start_time_unix_nano,
        end=message.end_time_unix_nano,
        failed=message.status.code == message.status.STATUS_CODE_ERROR,
        resource=resource,
        scope=scope,
        body=message.SerializeToString(),
    )
