"""Errors as the outside sees them: application/problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request

from system.kit.telemetry import CORRELATION_ID

MEDIA_TYPE = "application/problem+json"
SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "correlationId": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
# As an OpenAPI document tells of it.
RESPONSE = {"description": "a problem", "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


class ProblemError(Exception):
    """Ends the request with `status` and a problem document. `extra` are further members of it."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.extra = extra


def document(status: int, detail: str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    body = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail}
    if identifier := CORRELATION_ID.get():
        body["correlationId"] = identifier
    return {**body, **(extra or {})}


def body(status: int, detail: str, extra: Mapping[str, Any] | None = None) -> bytes:
    return to_json(document(status, detail, extra))


def misfit(errors: Iterable[Mapping[str, Any]], *where: str) -> ProblemError:
    """Says where the input is wrong and why, but never repeats it: it may be a password."""
    found = [{"where": ".".join(map(str, (*where, *e["loc"]))), "message": e["msg"]} for e in errors]
    return ProblemError(422, "the request does not fit its schema", extra={"errors": found})


def response(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, extra: Mapping[str, Any] | None = None
) -> JSONResponse:
    return JSONResponse(document(status, detail, extra), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)


def describe(app: FastAPI) -> None:
    """Makes `app.openapi()` tell the truth of errors: FastAPI supposes that it answers them itself."""
    of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        found = of_fastapi()
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas["Problem"] = SCHEMA
            for operation in (each for path in found["paths"].values() for each in path.values()):
                operation["responses"].pop("422", None)
                operation["responses"].setdefault("default", RESPONSE)
        return found

    app.openapi = openapi  # type: ignore[method-assign]


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)  # noqa: S101
    return response(error.status, error.detail, headers=error.headers, extra=error.extra)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    return response(error.status_code, str(error.detail), headers=error.headers)


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return await _problem(_request, misfit(error.errors()))


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
