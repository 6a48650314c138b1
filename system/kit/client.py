"""Calls over an edge: deadline, breaker, trace, correlation id and metrics, in one place for every consumer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response, ResponseBodyReader

from system.kit import deadline, signals, telemetry
from system.kit.breaker import Breaker, OpenError, Permit, State

M = TypeVar("M", bound=BaseModel)

SERVER_ERROR = 500
CLIENT_ERROR = 400
GATEWAY_ERRORS = frozenset({502, 503, 504})


class UnavailableError(Exception):
    """The provider of an edge gave no usable answer. `retry_after` in seconds where a breaker is open."""

    def __init__(self, edge: str, reason: signals.FallbackReason, detail: str = "", retry_after: float = 0.0) -> None:
        super().__init__(f"{edge}: {reason}" + (f" ({detail})" if detail else ""))
        self.edge = edge
        self.reason = reason
        self.retry_after = retry_after


@dataclass(frozen=True)
class Answer:
    """Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return from_json(self.body)


class StreamAnswer:
    """An answer whose body comes piece by piece, each as soon as it is there."""

    def __init__(self, response: Response, attempt: _Attempt, ends: float) -> None:
        self.status = response.status
        self.headers = dict(response.headers.items())
        self._reader: ResponseBodyReader = response.body_reader
        self._attempt = attempt
        self._ends = ends

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            async with asyncio.timeout(self._ends - time.monotonic()):
                chunk = await self._reader.read_chunk()
            if chunk is None:
                return
            self._attempt.alive()
            yield bytes(chunk)


class Edge:
    """One consumer's way to one provider.

    `name` is "consumer->provider". On `ai` edges a 500 and an answer that fails
    its schema also count as unavailability.
    """

    def __init__(
        self,
        name: str,
        url: str,
        breaker: Breaker,
        *,
        ai: bool = False,
        falls_back: bool = False,
        connections: int = 200,
    ) -> None:
        self.name = name
        self.breaker = breaker
        self.ai = ai
        self._url = url.rstrip("/")
        builder = ClientBuilder().max_connections(connections).follow_redirects(False).no_proxy()
        self._client: Client = builder.http1_only().tcp_nodelay(True).build()
        signals.announce_edge(name, falls_back=falls_back)

    def unavailable(self, status: int) -> bool:
        """Whether `status` says that the provider is not there, rather than what it thinks of the request."""
        return status in GATEWAY_ERRORS or (self.ai and status == SERVER_ERROR)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One exchange within `timeout` seconds. A 4xx is an answer. Raises UnavailableError."""
        with _Attempt(self, method, path, timeout) as attempt:
            answer = await self._exchange(attempt, json, body, headers)
            attempt.judge(answer.status)
        return answer

    async def read(
        self,
        into: type[M],
        method: str,
        path: str,
        *,
        timeout: float,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> M:
        """As `call`, and reads a 2xx answer into a model. Else it is unavailable, though a 4xx spares the breaker."""
        with _Attempt(self, method, path, timeout) as attempt:
            answer = await self._exchange(attempt, json, None, headers)
            attempt.judge(answer.status)
            if answer.status >= CLIENT_ERROR:
                raise UnavailableError(self.name, "status", str(answer.status))
            return into.model_validate_json(answer.body)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[StreamAnswer]:
        """An exchange whose answer is handed on as it comes; `timeout` is for all of it. Raises UnavailableError.

        Leaving the context early closes the connection, so that the provider notices.
        """
        with _Attempt(self, method, path, timeout) as attempt:
            request = self._request(attempt, json, body, headers).streamed_read_buffer_limit(0).build_streamed()
            async with asyncio.timeout(attempt.timeout):
                response = await request.__aenter__()
            try:
                attempt.judge(response.status)
                yield StreamAnswer(response, attempt, attempt.started + attempt.timeout)
            finally:
                await request.__aexit__(None, None, None)

    async def _exchange(
        self, attempt: _Attempt, json: Any, body: bytes | None, headers: Mapping[str, str] | None
    ) -> Answer:
        request = self._request(attempt, json, body, headers).build()
        async with asyncio.timeout(attempt.timeout):
            response = await request.send()
            content = await response.bytes()
        return Answer(response.status, dict(response.headers.items()), bytes(content))

    def _request(
        self, attempt: _Attempt, json: Any, body: bytes | None, headers: Mapping[str, str] | None
    ) -> RequestBuilder:
        request = self._client.request(attempt.method, self._url + attempt.path)
        sent = {**(headers or {}), **attempt.headers()}
        if json is not None:
            body = to_json(json)
            sent["content-type"] = "application/json"
        if body is not None:
            request = request.body_bytes(body)
        return request.headers(sent)


class _Attempt:
    """One call over an edge, from its permit to its outcome, which it tells the breaker, the metrics and the trace."""

    def __init__(self, edge: Edge, method: str, path: str, timeout: float) -> None:
        self.edge = edge
        self.method = method
        self.path = path
        self.timeout = deadline.remaining(timeout)
        self.started = time.monotonic()
        self._status = 0
        self._settled = False

    def __enter__(self) -> Self:
        name = f"{self.method} {self.path.partition('?')[0]}"
        attributes = {"http.request.method": self.method, "edge": self.edge.name}
        self._span = telemetry.TRACER.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        self._permit = self._ask()
        self.started = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        del kind, tb
        try:
            self._end(error)
        finally:
            self._span.end()

    def headers(self) -> dict[str, str]:
        sent = telemetry.outgoing_headers(trace.set_span_in_context(self._span))
        sent[deadline.HEADER] = str(int(self.timeout * 1000))
        return sent

    def judge(self, status: int) -> None:
        """Raises UnavailableError where `status` says that the provider is not there."""
        self._status = status
        self._span.set_attribute("http.response.status_code", status)
        if self.edge.unavailable(status):
            raise UnavailableError(self.edge.name, "status", str(status))

    def alive(self) -> None:
        """Part of a streamed answer came. That is enough for a probe, which must not keep others out for a minute."""
        if not self._settled and self.edge.breaker.state is State.HALF_OPEN:
            self._settle(ok=True)

    def _ask(self) -> Permit:
        if not self.timeout:
            self._span.end()
            raise UnavailableError(self.edge.name, "timeout", "the caller's deadline has passed")
        try:
            return self.edge.breaker.permit()
        except OpenError as error:
            signals.EDGE_REQUESTS.labels(self.edge.name, "short_circuit").inc()
            self._span.set_status(Status(StatusCode.ERROR, "circuit breaker open"))
            self._span.end()
            raise UnavailableError(self.edge.name, "open", retry_after=error.retry_after) from error

    def _end(self, error: BaseException | None) -> None:
        signals.EDGE_DURATION.labels(self.edge.name).observe(time.monotonic() - self.started)
        unavailable = _unavailable(self.edge.name, error)
        if unavailable is None and error is not None:
            self._permit.abandon()
        elif unavailable is None:
            self._answered()
        else:
            self._failed(unavailable)
            if unavailable is not error:
                raise unavailable from error

    def _answered(self) -> None:
        signals.EDGE_REQUESTS.labels(self.edge.name, _outcome(self._status)).inc()
        self._settle(ok=True)

    def _failed(self, error: UnavailableError) -> None:
        answered = self._status >= CLIENT_ERROR and not self.edge.unavailable(self._status)
        spared = answered or (error.reason == "schema" and not self.edge.ai)
        outcome = _outcome(self._status) if answered else "failure"
        signals.EDGE_REQUESTS.labels(self.edge.name, outcome).inc()
        self._span.set_status(Status(StatusCode.ERROR, str(error)))
        self._settle(ok=spared)
        telemetry.logger().warning(signals.LOG_EDGE_FAILURE, edge=self.edge.name, reason=error.reason, error=str(error))

    def _settle(self, *, ok: bool) -> None:
        self._settled = True
        seconds = time.monotonic() - self.started
        if ok:
            self._permit.success(seconds)
        else:
            self._permit.failure(seconds)


def _outcome(status: int) -> signals.Outcome:
    if status < CLIENT_ERROR:
        return "success"
    return "client_error" if status < SERVER_ERROR else "failure"


def _unavailable(edge: str, error: BaseException | None) -> UnavailableError | None:
    """What `error` says of the provider; None where it says nothing, as when the caller hung up."""
    match error:
        case UnavailableError():
            return error
        case TimeoutError():
            return UnavailableError(edge, "timeout")
        case PyreqwestError():
            return UnavailableError(edge, "connection", error.message)
        case ValueError():
            return UnavailableError(edge, "schema", str(error).partition("\n")[0])
        case _:
            return None
