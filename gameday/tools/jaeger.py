"""Traces of a running system, over Jaeger's query API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from gameday.errors import GamedayError

TIMEOUT_SECONDS = 5.0
# Where Jaeger answers queries.
_QUERY_PORT = "16686"
_ERROR = ("STATUS_CODE_ERROR", 2)
# OTLP's numbers of a span's kind.
_KINDS = ("", "internal", "server", "client", "producer", "consumer")


@dataclass(frozen=True)
class Span:
    """`start` and `end` are seconds since the epoch; `parent` is empty at the root.

    `kind` is server, client, producer, consumer or internal; empty where nobody said.
    """

    trace: str
    id: str
    parent: str
    service: str
    name: str
    start: float
    end: float
    error: str | None
    attributes: Mapping[str, Any]
    kind: str = ""


class Jaeger:
    """Any server with the query API v3: Jaeger itself, or `gameday.spans`."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)

    @classmethod
    def at(cls, ports: Mapping[str, str]) -> Jaeger:
        """The one that listens at `ports`: container port -> host:port."""
        return cls(f"http://{ports.get(_QUERY_PORT) or next(iter(ports.values()))}")

    def close(self) -> None:
        self._client.close()

    def trace(self, identifier: str) -> Sequence[Span]:
        """By start; empty where it is not known."""
        return _spans(self._get(f"/api/v3/traces/{identifier}"))

    def recent(self, service: str, limit: int = 20) -> Sequence[Sequence[Span]]:
        """The newest traces that `service` took part in."""
        traces: dict[str, list[Span]] = {}
        for span in self._search(service, {"query.num_traces": limit}):
            traces.setdefault(span.trace, []).append(span)
        return sorted(traces.values(), key=lambda spans: -spans[0].start)

    def spans(
        self, service: str, since: float, until: float, *, name: str = "", failed: bool | None = None, limit: int = 20
    ) -> Sequence[Span]:
        """Those of `service` that began between two moments (epoch seconds), of the newest `limit` traces.

        Raises GamedayError also where the store did not search by all of it, so that there may be more.
        """
        asked = {
            "query.start_time_min": _moment(since),
            "query.start_time_max": _moment(until),
            "query.num_traces": limit,
            "query.operation_name": name,
            # Of an error Jaeger's search speaks as of an attribute.
            "query.attributes": "" if failed is None else json.dumps({"error": str(failed).lower()}),
        }
        told = self._search(service, {key: value for key, value in asked.items() if value})
        found = [
            span
            for span in told
            if span.service == service
            and since <= span.start <= until
            and name in ("", span.name)
            and failed in (None, span.error is not None)
        ]
        traces = {span.trace for span in told}
        if len(traces) >= limit and traces != {span.trace for span in found}:
            raise GamedayError(f"{self._client.base_url} does not search by status: {service} may have had more")
        return found

    def _search(self, service: str, asked: Mapping[str, Any]) -> list[Span]:
        return _spans(self._get("/api/v3/traces", **{"query.service_name": service, **asked}))

    def _get(self, path: str, **parameters: Any) -> Mapping[str, Any]:
        try:
            answer = self._client.get(path, params=parameters)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return {}
            answer.raise_for_status()
            told: Mapping[str, Any] = answer.json()["result"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise GamedayError(f"cannot ask {self._client.base_url} for traces: {error}") from error
        return told


def _moment(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat()


def _spans(told: Mapping[str, Any]) -> list[Span]:
    found = [
        _span(span, dict(_attributes(each.get("resource", {}))))
        for each in told.get("resourceSpans", ())
        for scope in each.get("scopeSpans", ())
        for span in scope.get("spans", ())
    ]
    return sorted(found, key=lambda span: span.start)


def _span(told: Mapping[str, Any], resource: Mapping[str, Any]) -> Span:
    status = told.get("status", {})
    return Span(
        trace=told["traceId"],
        id=told["spanId"],
        parent=told.get("parentSpanId", ""),
        service=str(resource.get("service.name", "unknown_service")),
        name=told.get("name", ""),
        start=int(told["startTimeUnixNano"]) / 1e9,
        end=int(told["endTimeUnixNano"]) / 1e9,
        error=status.get("message", "") if status.get("code") in _ERROR else None,
        attributes=dict(_attributes(told)),
        kind=_kind(told.get("kind", 0)),
    )


def _kind(told: int | str) -> str:
    """JSON has it as a number, or as a word such as SPAN_KIND_SERVER."""
    if isinstance(told, int):
        return _KINDS[told] if told < len(_KINDS) else ""
    name = told.removeprefix("SPAN_KIND_").lower()
    return name if name in _KINDS else ""


def _attributes(told: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(each["key"], next(iter(each["value"].values()), None)) for each in told.get("attributes", ())]
