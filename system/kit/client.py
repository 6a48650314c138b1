"""Calls over an edge: deadline, breaker, trace, correlation id and metrics, in one place for every consumer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar

from opentelemetry.trace import SpanKind, Status, StatusCode
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from system.kit import deadline, signals, telemetry
from system.kit.breaker import Breaker, OpenError, Permit, State
from system.kit.http1 import BrokenError, Connections, Response

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

SERVER_ERROR = 500
CLIENT_ERROR = 400
GATEWAY_ERRORS = frozenset({502, 503, 504})
# After a timeout the caller's time is gone, and the provider has its hands full.
RETRIED = frozenset({"connection", "status"})
RETRY_AFTER_SECONDS = (0.005, 0.05)


class UnavailableError(Exception):
    """The provider of an edge gave no usable answer. `retry_after` in seconds where a breaker is open."""

    def __init__(self, edge: str, reason: signals.FallbackReason, detail: str = "", retry_after: float = 0.0) -> None:
        super().__init__(f"{edge}: {reason}" + (f" ({detail})" if detail else ""))
        self.edge = edge
        self.reason = reason
        self.retry_after = retry_after


class RefusedError(UnavailableError):
    """The provider is there and did not like the request."""


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
        self.headers = response.headers
        self._response = response
        self._attempt = attempt
        self._ends = ends

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self._response.piece(self._ends - time.monotonic()):
            self._attempt.alive()
            yield chunk


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    timeout: float
    json: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


def _never(_: UnavailableError) -> bool:
    return False


class Targets:
    """The replicas of a provider, in turn. One that did not answer rests a while, unless all do."""

    def __init__(self, urls: Sequence[str], rest_seconds: float = 1.0) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._rest_seconds = rest_seconds
        self._rested = dict.fromkeys(self._urls, 0.0)
        self._turn = 0

    def next(self) -> str:
        now = time.monotonic()
        for _ in self._urls:
            self._turn = (self._turn + 1) % len(self._urls)
            if self._rested[self._urls[self._turn]] <= now:
                break
        return self._urls[self._turn]

    def failed(self, url: str) -> None:
        self._rested[url] = time.monotonic() + self._rest_seconds


class RetryBudget:
    """A retry for every tenth call: when much fails, retries must not double the load.

    Saved are as many as one of two busy replicas may have under way when it dies.
    """

    def __init__(self, share: float = 0.1, most: float = 50.0) -> None:
        self._share = share
        self._most = most
        self._saved = most

    def earn(self) -> None:
        self._saved = min(self._most, self._saved + self._share)

    def take(self) -> bool:
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class Edge:
    """One consumer's way to one provider.

    `name` is "consumer->provider"; `url` may name several replicas, divided by
    commas. On `ai` edges a 500 and an answer that fails its schema also count as
    unavailability. More than `concurrency` calls at once are not made: a slow
    provider must not take all of its consumer's memory.
    """

    def __init__(
        self,
        name: str,
        url: str,
        breaker: Breaker,
        *,
        ai: bool = False,
        falls_back: bool = False,
        concurrency: int = 200,
    ) -> None:
        self.name = name
        self.breaker = breaker
        self.ai = ai
        self.concurrency = concurrency
        self.in_flight = 0
        self.targets = Targets(url.split(","))
        self._retries = RetryBudget()
        self._connections = Connections()
        signals.announce_edge(name, falls_back=falls_back)

    def unavailable(self, status: int) -> bool:
        """Whether `status` says that the provider is not there, rather than what it thinks of the request."""
        return status in GATEWAY_ERRORS or (self.ai and status == SERVER_ERROR)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> Answer:
        """An exchange within `timeout` seconds. A 4xx is an answer. Raises UnavailableError.

        What is `idempotent` is tried once more where the provider was not reached.
        """
        return await self._tried(_Request(method, path, timeout, json, body, headers), _as_it_is, idempotent)

    async def read(
        self,
        into: type[M],
        method: str,
        path: str,
        *,
        timeout: float,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> M:
        """As `call`, and reads a 2xx answer into a model. Else it is unavailable, though a 4xx spares the breaker."""

        def reading(answer: Answer) -> M:
            if answer.status >= CLIENT_ERROR:
                raise RefusedError(self.name, "status", str(answer.status))
            return into.model_validate_json(answer.body)

        return await self._tried(_Request(method, path, timeout, json, None, headers), reading, idempotent)

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
        wanted = _Request(method, path, timeout, json, body, headers)
        with _Attempt(self, method, path, timeout) as attempt:
            response = await self._sent(attempt, wanted)
            try:
                attempt.judge(response.status)
                yield StreamAnswer(response, attempt, attempt.ends)
            finally:
                response.close()

    async def _tried(self, request: _Request, reading: Callable[[Answer], T], again: bool) -> T:
        ends = time.monotonic() + request.timeout
        self._retries.earn()
        retried = False

        def forgiven(error: UnavailableError) -> bool:
            """The second attempt tells the breaker how the call ended: one dead replica is no dead provider."""
            nonlocal retried
            retried = again and self._may_retry(error)
            return retried and self.breaker.state is State.CLOSED

        try:
            return await self._once(request, reading, forgiven)
        except UnavailableError:
            if not retried:
                raise
        signals.EDGE_RETRIES.labels(self.name).inc()
        # Jitter, so that those who failed together do not come back together.
        await asyncio.sleep(random.uniform(*RETRY_AFTER_SECONDS))  # noqa: S311
        return await self._once(replace(request, timeout=max(0.0, ends - time.monotonic())), reading)

    def _may_retry(self, error: UnavailableError) -> bool:
        return error.reason in RETRIED and not isinstance(error, RefusedError) and self._retries.take()

    async def _once(
        self, request: _Request, reading: Callable[[Answer], T], forgiven: Callable[[UnavailableError], bool] = _never
    ) -> T:
        with _Attempt(self, request.method, request.path, request.timeout, forgiven) as attempt:
            response = await self._sent(attempt, request)
            try:
                content = await response.body(attempt.ends - time.monotonic())
            finally:
                response.close()
            attempt.judge(response.status)
            return reading(Answer(response.status, response.headers, content))

    async def _sent(self, attempt: _Attempt, request: _Request) -> Response:
        sent = {**(request.headers or {}), **attempt.headers()}
        body = request.body
        if request.json is not None:
            body = to_json(request.json)
            sent["content-type"] = "application/json"
        return await self._connections.call(
            attempt.target, request.method, request.path, sent, body=body, within=attempt.ends - time.monotonic()
        )


def _as_it_is(answer: Answer) -> Answer:
    return answer


class _Attempt:
    """One call over an edge, from its permit to its outcome, which it tells the breaker, the metrics and the trace.

    The breaker is not told of a failure that is `forgiven`.
    """

    def __init__(
        self,
        edge: Edge,
        method: str,
        path: str,
        timeout: float,
        forgiven: Callable[[UnavailableError], bool] = _never,
    ) -> None:
        self.edge = edge
        self.method = method
        self.path = path
        self.timeout = deadline.remaining(timeout)
        self.started = self.ends = time.monotonic()
        self._forgiven = forgiven
        self._status = 0
        self._settled = False

    def __enter__(self) -> Self:
        name = f"{self.method} {self.path.partition('?')[0]}"
        attributes = {"http.request.method": self.method, "edge": self.edge.name}
        self._span = telemetry.late_span(name, SpanKind.CLIENT, attributes=attributes)
        self._permit = self._ask()
        self.edge.in_flight += 1
        self.target = self.edge.targets.next()
        self.started = time.monotonic()
        self.ends = self.started + self.timeout
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        del kind, tb
        self.edge.in_flight -= 1
        try:
            self._end(error)
        finally:
            self._span.end()

    def headers(self) -> dict[str, str]:
        sent = telemetry.outgoing_headers(self._span)
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
            raise self._not_made("timeout", "the caller's deadline has passed")
        if self.edge.in_flight >= self.edge.concurrency:
            raise self._not_made("full", f"{self.edge.concurrency} calls are under way")
        try:
            return self.edge.breaker.permit()
        except OpenError as error:
            raise self._not_made("open", "circuit breaker open", error.retry_after) from error

    def _not_made(self, reason: signals.FallbackReason, detail: str, retry_after: float = 0.0) -> UnavailableError:
        signals.series(signals.EDGE_REQUESTS, self.edge.name, "short_circuit").inc()
        self._span.set_status(Status(StatusCode.ERROR, detail))
        self._span.end()
        return UnavailableError(self.edge.name, reason, detail, retry_after)

    def _end(self, error: BaseException | None) -> None:
        signals.series(signals.EDGE_DURATION, self.edge.name).observe(time.monotonic() - self.started)
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
        signals.series(signals.EDGE_REQUESTS, self.edge.name, _outcome(self._status)).inc()
        self._settle(ok=True)

    def _failed(self, error: UnavailableError) -> None:
        answered = self._status >= CLIENT_ERROR and not self.edge.unavailable(self._status)
        spared = answered or (error.reason == "schema" and not self.edge.ai)
        outcome = _outcome(self._status) if answered else "failure"
        if not spared:
            self.edge.targets.failed(self.target)
        signals.series(signals.EDGE_REQUESTS, self.edge.name, outcome).inc()
        self._span.set_status(Status(StatusCode.ERROR, str(error)))
        if not spared and self._forgiven(error):
            self._permit.abandon()
        else:
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
        case BrokenError():
            return UnavailableError(edge, "connection", str(error))
        case ValueError():
            return UnavailableError(edge, "schema", str(error).partition("\n")[0])
        case _:
            return None
