"""The page and the JSON behind it, over HTTP on loopback.

Whoever asks needs the token: in the address, once, which leaves a cookie; or as a bearer, for curl. What changes
something with a cookie must come from the page itself: cookies know no ports, and the services that are broken here
listen on the same host.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gameday.errors import GamedayError, InputError
from gameday.view.running import GoneError, Running

_PAGE: Mapping[str, str] = {
    "index.html": "text/html",
    "view.css": "text/css",
    "view.js": "text/javascript",
}
# Plotly writes styles into the page.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
# A report shows what strangers' services answered: it may draw, and reach nothing here.
_REPORT_POLICY = "sandbox allow-scripts"
_SECONDS = range(60, 7 * 86_400 + 1)
_VARIABLE = "var-"


def app(running: Running, token: str) -> Starlette:
    api = _Api(running)
    return Starlette(
        routes=[
            Route("/", _file("index.html")),
            Route("/view.css", _file("view.css")),
            Route("/view.js", _file("view.js")),
            Route("/plotly.js", _plotly),
            Route("/api/map", api.map),
            Route("/api/faults", api.faults),
            Route("/api/leases", api.inject, methods=["POST"]),
            Route("/api/leases/{lease}", api.undo, methods=["DELETE"]),
            Route("/api/boards", api.boards),
            Route("/api/boards/{uid}/panels/{panel:int}", api.panel),
            Route("/api/runs", api.runs),
            Route("/runs/{run}/report.html", api.report),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
            Middleware(_Door, token=token),
        ],
        exception_handlers={
            GoneError: _answer(503),
            GamedayError: _answer(502),
            InputError: _refused,
            KeyError: _unknown,
        },
    )


class _Api:
    def __init__(self, running: Running) -> None:
        self._running = running

    async def map(self, _: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._running.map))

    async def faults(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._running.faults, request.query_params.get("target", "")))

    async def inject(self, request: Request) -> Response:
        """`{"fault": "latency", "target": "web->api", "arguments": {"latency": 300}, "seconds": 30}`"""
        try:
            told = await request.json()
            fault, target = str(told["fault"]), str(told["target"])
            arguments, seconds = dict(told.get("arguments") or {}), float(told["seconds"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return JSONResponse({"error": f"fault, target, arguments and seconds are expected: {error!r}"}, 400)
        return JSONResponse(await asyncio.to_thread(self._running.inject, fault, target, arguments, seconds), 201)

    async def undo(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._running.undo, request.path_params["lease"]))

    async def boards(self, _: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._boards))

    def _boards(self) -> list[dict[str, Any]]:
        return [{**asdict(each), **self._variables(each)} for each in self._running.boards()]

    async def panel(self, request: Request) -> Response:
        """`?seconds=1800&var-edge=a`; without `seconds` the range of the board."""
        asked = request.query_params
        variables = {name.removeprefix(_VARIABLE): asked[name] for name in asked if name.startswith(_VARIABLE)}
        board = await asyncio.to_thread(self._running.board, request.path_params["uid"])
        seconds = asked.get("seconds", f"{board.seconds:.0f}")
        if not (seconds.isdigit() and int(seconds) in _SECONDS):
            return JSONResponse({"error": f"seconds are whole, {_SECONDS.start} to {_SECONDS.stop - 1}"}, 400)
        drawn = await asyncio.to_thread(
            self._running.panel, board, request.path_params["panel"], float(seconds), variables
        )
        return JSONResponse(asdict(drawn))

    async def runs(self, _: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._running.runs))

    async def report(self, request: Request) -> Response:
        path = await asyncio.to_thread(self._running.report, request.path_params["run"])
        return FileResponse(path, headers={"content-security-policy": _REPORT_POLICY})

    def _variables(self, board: Any) -> dict[str, Any]:
        """With their values, or why those are not known."""
        try:
            return {"variables": self._running.variables(board), "error": None}
        except GamedayError as error:
            return {"variables": [], "error": str(error)}


class _Door:
    """Lets in who has the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._response(Request(scope))(scope, receive, send)

    def _response(self, request: Request) -> ASGIApp:
        cookie = f"gameday-view-{request.url.port}"
        if request.url.path == "/" and self._is_token(request.query_params.get("token", "")):
            response = RedirectResponse("/", 303)
            response.set_cookie(cookie, self._token, httponly=True, samesite="strict")
            return response
        if self._is_token(request.headers.get("authorization", "").removeprefix("Bearer ")):
            return self._app
        if not self._is_token(request.cookies.get(cookie, "")):
            return JSONResponse({"error": "open the address that gameday view printed: it has the token"}, 401)
        if request.method not in ("GET", "HEAD") and request.headers.get("origin") != str(request.base_url).rstrip("/"):
            return JSONResponse({"error": "only the page itself may change something"}, 403)
        return self._app

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    content = (files("gameday.view") / "page" / name).read_bytes()

    async def answer(_: Request) -> Response:
        headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
        return Response(content, media_type=_PAGE[name], headers=headers)

    return answer


async def _plotly(_: Request) -> Response:
    """The library's own file, which has its licence at its head."""
    return Response(get_plotlyjs(), media_type="text/javascript", headers={"cache-control": "max-age=86400"})


def _answer(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status)

    return answer


async def _refused(_: Request, error: Exception) -> Response:
    problems = error.problems if isinstance(error, InputError) else ()
    return JSONResponse({"error": str(error), "mend": "; ".join(problem.mend for problem in problems)}, 400)


async def _unknown(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"there is nothing at {request.url.path} ({error})"}, 404)
