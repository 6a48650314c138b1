"""One attempt to tell an outcome: signed, to a place that may be told, and only there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from system.ai_worker.destination import Guard, UnresolvedError, Way
from system.ai_worker.receivers import Receiver, Receivers
from system.kit import deadline, signals, telemetry
from system.kit.breaker import OpenError
from system.kit.client import UnavailableError
from system.kit.tasks import Outcome
from system.kit.webhook import Secrets

USER_AGENT = "gameday-webhook/1"
# These say "later". Every other 4xx says "never", and a redirect leads where nobody has looked.
LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
# A receiver may ask for patience, but not for so much that nobody remembers the task.
LONGEST_RETRY_AFTER = 86_400.0


class UndeliveredError(Exception):
    """`final` says that no further attempt will help; `retry_after` in seconds where the receiver said when."""

    def __init__(self, detail: str, *, final: bool = False, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.final = final
        self.retry_after = retry_after


class Courier:
    """`timeout` in seconds for all of an attempt. `roots` are certificates in PEM to trust beside the usual ones."""

    def __init__(
        self, guard: Guard, receivers: Receivers, secrets: Secrets, timeout: float, roots: bytes | None = None
    ) -> None:
        self._guard = guard
        self._receivers = receivers
        self._secrets = secrets
        self._timeout = timeout
        self._roots = roots

    async def deliver(self, url: str, outcome: Outcome) -> None:
        """Returns once the receiver has it. Raises UndeliveredError, RefusedError, UnavailableError for no attempt."""
        try:
            way = await self._guard.way(url)
        except UnresolvedError as error:
            raise UndeliveredError(str(error)) from error
        with _Attempt(self._receivers.of(way)):
            try:
                async with deadline.Timeout(self._timeout):
                    await self._exchange(way, outcome)
            except TimeoutError as error:
                raise UndeliveredError(f"no answer within {self._timeout:g} s") from error
            except PyreqwestError as error:
                raise UndeliveredError(f"no connection: {error.message}") from error

    async def _exchange(self, way: Way, outcome: Outcome) -> None:
        body = outcome.model_dump_json(exclude_none=True).encode()
        async with self._client(way) as client:
            request = client.post(_url(way)).headers(self._headers(way, outcome, body)).body_bytes(body)
            # What the answer says beyond its status is not read: it may be endless.
            async with request.streamed_read_buffer_limit(0).build_streamed() as response:
                _judge(response.status, response.headers)

    def _client(self, way: Way) -> Client:
        """One of its own, so that nothing is shared between receivers, and no name is looked up again."""
        builder = ClientBuilder().http1_only().no_proxy().follow_redirects(False).user_agent(USER_AGENT)
        if way.address is not None:
            builder = builder.resolve(way.target.host, str(way.address), way.target.port)
        if self._roots:
            builder = builder.add_root_certificate_pem(self._roots)
        return builder.build()

    def _headers(self, way: Way, outcome: Outcome, body: bytes) -> dict[str, str]:
        headers = {"content-type": "application/json", "host": way.target.authority}
        if way.service:
            # Who asked for it, and what it is a part of, is nobody's business outside.
            headers |= telemetry.outgoing_headers()
        return headers | self._secrets.sign(str(outcome.taskId), int(time.time()), body)


class _Attempt:
    """One attempt at a receiver, from its permit to its end, which it tells the breaker, the metrics and the trace."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def __enter__(self) -> None:
        edge = self._receiver.edge
        try:
            self._permit = self._receiver.breaker.permit()
        except OpenError as error:
            signals.EDGE_REQUESTS.labels(edge, "short_circuit").inc()
            raise UnavailableError(edge, "open", "circuit breaker open", error.retry_after) from error
        self._started = time.monotonic()
        self._span = telemetry.TRACER.start_span(f"POST {edge}", kind=SpanKind.CLIENT, attributes={"edge": edge})
        self._active = trace.use_span(self._span, record_exception=False, set_status_on_exception=False)
        self._active.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._active.__exit__(None, None, None)
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, str(error)))
        self._span.end()
        signals.EDGE_DURATION.labels(self._receiver.edge).observe(time.monotonic() - self._started)
        self._settle(error)

    def _settle(self, error: BaseException | None) -> None:
        outcome: signals.Outcome = "success"
        match error:
            case None:
                self._permit.success()
            case UndeliveredError(final=True):
                # It is there, and does not want this.
                outcome = "client_error"
                self._permit.success()
            case UndeliveredError():
                outcome = "failure"
                self._permit.failure()
            case _:
                self._permit.abandon()
                return
        signals.EDGE_REQUESTS.labels(self._receiver.edge, outcome).inc()


def _url(way: Way) -> str:
    target = way.target
    return (way.base or f"{target.scheme}://{target.authority}") + target.path


def _judge(status: int, headers: Mapping[str, str]) -> None:
    """Raises UndeliveredError for everything but a 2xx."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise UndeliveredError(f"{status}: redirects are not followed", final=True)
    final = status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in LATER
    raise UndeliveredError(f"the receiver answered {status}", final=final, retry_after=_retry_after(headers))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either form of the header."""
    try:
        value = headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value), LONGEST_RETRY_AFTER)
        until = parsedate_to_datetime(value)
    # Also what a header of other signs than ASCII is answered with.
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - datetime.now(UTC)).total_seconds()), LONGEST_RETRY_AFTER)
