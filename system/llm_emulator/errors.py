"""The provider's errors, as its documentation names them."""

from __future__ import annotations

from typing import Any

STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
}


class ApiError(Exception):
    """An answer that is an error. `kind` is a key of `STATUS`; `headers` go along with it.

    `details` tell a program the cause, under a stable `error_code`.
    """

    def __init__(
        self, kind: str, message: str, headers: dict[str, str] | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.headers = headers or {}
        self.details = details

    @property
    def status(self) -> int:
        return STATUS[self.kind]

    def body(self, request_id: str) -> dict[str, Any]:
        error: dict[str, Any] = {"type": self.kind, "message": self.message}
        if self.details:
            error["details"] = self.details
        return {"type": "error", "error": error, "request_id": request_id}
