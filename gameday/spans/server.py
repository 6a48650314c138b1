"""OTLP over HTTP in, Jaeger's query API (v3, and v1 for Grafana) out."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gameday.spans import jaeger, otlp
from gameday.spans.store import Query, SpanStore

# Exports that may wait for the disk at once. More are told to come again: exporters do, and lose nothing.
MOST_WAITING = 16
_RETRY_SECONDS = "1"
_MOST_TRACES = 1000
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def app(store: SpanStore) -> Starlette:
    api = _Api(store)
    return Starlette(
        routes=[
            Route("/v1/traces", api.export, methods=["POST"]),
            Route("/api/v3/services", api.services_v3),
            Route("/api/v3/operations", api.operations_v3),
            Route("/api/v3/traces", api.search_v3),
            Route("/api/v3/traces/{trace}", api.trace_v3),
            Route("/api/services", api.services_v1),
            Route("/api/services/{service}/operations", api.operations_v1),
            Route("/api/traces", api.search_v1),
            Route("/api/traces/{trace}", api.trace_v1),
            Route("/", api.healthy),
        ],
        exception_handlers={ValueError: _refused},
    )


class _Api:
    def __init__(self, store: SpanStore) -> None:
        self._store = store
        self._waiting = 0

    async def export(self, request: Request) -> Response:
        if self._waiting >= MOST_WAITING:
            return Response("too much at once", 503, headers={"retry-after": _RETRY_SECONDS})
        self._waiting += 1
        try:
            body = await _body(request)
            kind = request.headers.get("content-type", "application/x-protobuf")
            told = await asyncio.to_thread(self._keep, body, kind, request.headers.get("content-encoding", ""))
        finally:
            self._waiting -= 1
        return Response(told, media_type=kind)

    def _keep(self, body: bytes, kind: str, encoding: str) -> bytes:
        export = otlp.decode(body, kind, encoding)
        self._store.add(export.spans)
        return otlp.answer(export, kind)

    async def services_v3(self, _: Request) -> Response:
        return JSONResponse({"services": await asyncio.to_thread(self._store.services)})

    async def operations_v3(self, request: Request) -> Response:
        names = await asyncio.to_thread(self._store.operations, request.query_params.get("service", ""))
        return JSONResponse({"operations": [{"name": name} for name in names]})

    async def search_v3(self, request: Request) -> Response:
        traces = await asyncio.to_thread(self._store.search, _query_v3(request.query_params))
        return JSONResponse({"result": otlp.encode(span for trace in traces for span in trace)})

    async def trace_v3(self, request: Request) -> Response:
        spans = await asyncio.to_thread(self._store.trace, request.path_params["trace"])
        return JSONResponse({"result": otlp.encode(spans)}) if spans else _unknown_v3(request.path_params["trace"])

    async def services_v1(self, _: Request) -> Response:
        return _listed(await asyncio.to_thread(self._store.services))

    async def operations_v1(self, request: Request) -> Response:
        return _listed(await asyncio.to_thread(self._store.operations, request.path_params["service"]))

    async def search_v1(self, request: Request) -> Response:
        traces = await asyncio.to_thread(self._store.search, _query_v1(request.query_params))
        return _listed([jaeger.trace(spans) for spans in traces])

    async def trace_v1(self, request: Request) -> Response:
        spans = await asyncio.to_thread(self._store.trace, request.path_params["trace"])
        if not spans:
            error = {"code": 404, "msg": "trace not found"}
            return JSONResponse({"data": None, "errors": [error]}, 404)
        return _listed([jaeger.trace(spans)])

    async def healthy(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "spans": self._store.count})


async def _body(request: Request) -> bytes:
    """At most what an export may have. Raises ValueError beyond that, before it is read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > otlp.LARGEST:
            raise ValueError(f"more than {otlp.LARGEST} bytes in one export; send fewer spans at a time")
    return bytes(body)


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"code": 3, "message": str(error)}, 400)


def _unknown_v3(trace: str) -> Response:
    return JSONResponse({"error": {"httpCode": 404, "message": f"no trace {trace}"}}, 404)


def _listed(data: list[Any]) -> Response:
    return JSONResponse({"data": data, "total": len(data), "limit": 0, "offset": 0, "errors": None})


def _query_v3(asked: Mapping[str, str]) -> Query:
    """Clients write `query.service_name` as well as `query.serviceName`."""
    given = {_snake(key.removeprefix("query.")): value for key, value in asked.items() if value}
    return Query(
        service=given.get("service_name"),
        operation=given.get("operation_name"),
        since=_time(given.get("start_time_min")),
        until=_time(given.get("start_time_max")),
        shortest=_duration(given.get("duration_min")),
        longest=_duration(given.get("duration_max")),
        failed=_failed(given.get("attributes")),
        limit=_limit(given.get("num_traces") or given.get("search_depth")),
    )


def _query_v1(asked: Mapping[str, str]) -> Query:
    given = {key: value for key, value in asked.items() if value}
    return Query(
        service=given.get("service"),
        operation=given.get("operation"),
        since=_microseconds(given.get("start")),
        until=_microseconds(given.get("end")),
        shortest=_duration(given.get("minDuration")),
        longest=_duration(given.get("maxDuration")),
        failed=_failed(given.get("tags")),
        limit=_limit(given.get("limit")),
    )


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e9)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write it as 2026-01-31T12:00:00Z") from None


def _microseconds(text: str | None) -> int | None:
    return None if text is None else _number(text) * 1000


def _duration(text: str | None) -> int | None:
    """`1.5s` or `250ms` in nanoseconds."""
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no duration; write it as 250ms or 1.5s")
    return int(float(found[1]) * _NANOSECONDS[found[2]])


def _failed(text: str | None) -> bool | None:
    """`{"error": "true"}`, as Jaeger is asked for spans that failed. There is no search by other attributes."""
    if text is None:
        return None
    try:
        asked = json.loads(text)
    except ValueError:
        asked = text
    if asked not in ({"error": "true"}, {"error": "false"}):
        raise ValueError(f'{text!r} cannot be searched for; write {{"error": "true"}} or {{"error": "false"}}')
    return bool(asked["error"] == "true")


def _limit(text: str | None) -> int:
    return Query.limit if text is None else max(1, min(_MOST_TRACES, _number(text)))


def _number(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f"{text!r} is no whole number")
    return int(text)
