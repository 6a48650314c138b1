"""How every service is made and run: health, metrics, traces, logs, problem documents, drain."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.telemetry import TelemetryConfig
from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from system.kit import deadline, problem, signals, telemetry
from system.kit.settings import Settings

Check = Callable[[FastAPI], Awaitable[None]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

READY_SECONDS = 1.0
SERVER_ERROR = 500
HEADER_LIMIT_BYTES = 32_768
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
CORRELATION_HEADER = telemetry.CORRELATION_HEADER.encode()
USER_HEADER = telemetry.USER_HEADER.encode()
DEADLINE_HEADER = deadline.HEADER.encode()


def create(
    name: str,
    settings: Settings,
    *,
    routers: Iterable[APIRouter] = (),
    lifespan: Lifespan | None = None,
    ready: Mapping[str, Check] | None = None,
    outermost: bool = False,
    front: Callable[[ASGIApp], ASGIApp] | None = None,
) -> Service:
    """The service `name`. Each check of `ready` raises while its part is not ready; all of them make /readyz.

    An `outermost` service is called by strangers: it does not take a deadline from
    them, with which they could make its providers look slow, nor whom they ask for.
    What `front` makes of FastAPI's part stands before it, behind what every request goes through.
    """
    telemetry.setup(name, settings.log_level)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        async with (lifespan or _no_lifespan)(app):
            telemetry.logger().info(signals.LOG_STARTED, port=settings.port)
            yield
            telemetry.logger().info(signals.LOG_STOPPING)

    # FastAPI's own telemetry would make a second server span for each request, and one for each dependency.
    off = TelemetryConfig(tracing=False, metrics=False, logs=False)
    app = Service(title=name, lifespan=life, docs_url=None, redoc_url=None, telemetry=off)
    problem.install(app)
    problem.describe(app)
    app.include_router(_operations(app, ready or {}))
    for router in routers:
        app.include_router(router)
        _announce(router)
    if front:
        app.door = front(app.door)
    app.door = Observe(app.door, body_limit=settings.body_limit_bytes, outermost=outermost)
    return app


class Service(FastAPI):
    """FastAPI's, but requests come to its `door` first: what is answered there passes through nothing of FastAPI's."""

    def __init__(self, **told: Any) -> None:
        super().__init__(**told)
        self.door: ASGIApp = self._framework

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
        else:
            scope["app"] = self
            await self.door(scope, receive, send)

    async def _framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Less the outermost, which answers what nothing expected: here `Observe` does."""
        outermost = super().build_middleware_stack()
        assert isinstance(outermost, ServerErrorMiddleware)  # noqa: S101  else FastAPI has changed its ways
        return outermost.app


def run(app: ASGIApp, settings: Settings, *, websockets: bool = False) -> None:
    """Serves until SIGTERM or SIGINT, then lets open requests end for `drain_seconds`."""
    import uvicorn

    from system.kit.protocol import Protocol

    # uvicorn sends itself the signal again when it has drained: that is a clean end, not a death by signal.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http=Protocol,
            ws="websockets-sansio" if websockets else "none",
            ws_max_size=settings.body_limit_bytes,
            lifespan="on",
            access_log=False,
            # What a caller says of others' addresses is not to be believed: limits count by address.
            proxy_headers=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=settings.drain_seconds,
            timeout_keep_alive=75,
        )
    finally:
        telemetry.flush()


def _end(_number: int, _frame: object) -> None:
    sys.exit(0)


class Observe:
    """Around every request: correlation id, trace, deadline, body limit, metrics, log line; an exception is a 500."""

    def __init__(self, app: ASGIApp, body_limit: int, outermost: bool) -> None:
        self.app = app
        self.body_limit = body_limit
        self.outermost = outermost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        telemetry.CORRELATION_ID.set(telemetry.correlation_id(_text(headers, CORRELATION_HEADER)))
        deadline.clear()
        telemetry.USER_ID.set("")
        if not self.outermost:
            telemetry.USER_ID.set(telemetry.user_id(_text(headers, USER_HEADER)))
            deadline.received(_text(headers, DEADLINE_HEADER))
        if scope["type"] == "websocket" or scope["path"] in QUIET:
            await self.app(scope, receive, send)
            return
        await self._observed(scope, _limited(receive, headers, self.body_limit), send)

    async def _observed(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, send)
        span = telemetry.late_span(scope["method"], SpanKind.SERVER, telemetry.received_context(scope["headers"]))
        outside = context.attach(span.here())
        try:
            if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_LIMIT_BYTES:
                await exchange.refuse(431, f"the headers may have at most {HEADER_LIMIT_BYTES} bytes")
            else:
                await self.app(scope, receive, exchange.send)
        except Exception as error:  # noqa: BLE001  the border: nothing may leave it
            await exchange.unhandled(error)
        finally:
            exchange.ended(span)
            span.end()
            context.detach(outside)


class _Exchange:
    """One request and its answer, as metrics, trace and log see them."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self._send = send
        self.started = time.perf_counter()
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            identifier = telemetry.CORRELATION_ID.get().encode()
            message["headers"] = [*message.get("headers", ()), (CORRELATION_HEADER, identifier)]
        await self._send(message)

    async def unhandled(self, error: Exception) -> None:
        telemetry.logger().error(signals.LOG_UNHANDLED, exc_info=error)
        if self.status:
            raise error
        await self.refuse(SERVER_ERROR, "something went wrong here; the correlation id finds it in the logs")

    async def refuse(self, status: int, detail: str) -> None:
        await problem.response(status, detail)(self.scope, _nothing, self.send)

    def ended(self, span: trace.Span) -> None:
        seconds = time.perf_counter() - self.started
        method, route = self.scope["method"], _template(self.scope)
        # An answer that never began: the client hung up first. nginx's 499 has become the name for it.
        status = self.status or 499
        signals.series(signals.REQUEST_DURATION, route, method, str(status)).observe(seconds)
        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "url.path": self.scope["path"],
                "http.response.status_code": status,
            }
        )
        if status >= SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        telemetry.told(
            signals.LOG_REQUEST, method=method, route=route, status=status, latencyMs=round(seconds * 1000, 2)
        )


def _template(scope: Scope) -> str:
    """The route as declared, so that ids in paths do not make endless series."""
    return getattr(scope.get("route"), "path", None) or "unmatched"


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _limited(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> Receive:
    """`receive` that refuses a body of more than `limit` bytes, announced or not."""
    announced = headers.get(b"content-length", b"0")
    left = limit - int(announced if announced.isdigit() else 0)
    if left >= 0:
        left = limit

    async def limited() -> Message:
        nonlocal left
        message = await receive() if left >= 0 else {}
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"the body may have at most {limit} bytes")
        return message

    return limited


def _operations(app: FastAPI, checks: Mapping[str, Check]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def readyz() -> Response:
        results = await asyncio.gather(*(_passes(check, app) for check in checks.values()))
        failed = {name: result for name, result in zip(checks, results, strict=True) if result}
        if failed:
            return problem.response(503, "not ready", extra={"checks": failed})
        return JSONResponse({"status": "ready", "checks": dict.fromkeys(checks, "ok")})

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _passes(check: Check, app: FastAPI) -> str | None:
    """None, or why not."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await check(app)
    except TimeoutError:
        return f"no answer within {READY_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001  whatever it is, it is why the service is not ready
        return f"{type(error).__name__}: {error}"
    return None


def _announce(router: APIRouter) -> None:
    for route in router.routes:
        for method in getattr(route, "methods", None) or ():
            signals.announce_route(getattr(route, "path", ""), method)


@asynccontextmanager
async def _no_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


async def _nothing() -> Any:
    return {"type": "http.disconnect"}
