"""The documents that tasks are about. content-svc owns them."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from pydantic import BaseModel

from system.kit.client import CLIENT_ERROR, Edge, UnavailableError

EDGE = "ai-worker->content-svc"
NONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class Document(BaseModel):
    title: str
    text: str


class Documents:
    def __init__(self, edge: Edge, timeout: float) -> None:
        self._edge = edge
        self._timeout = timeout

    async def get(self, document: UUID) -> Document | None:
        """None where there is no such document. Raises UnavailableError."""
        path = f"/internal/documents/{document}"
        answer = await self._edge.call("GET", path, timeout=self._timeout, idempotent=True)
        if answer.status in NONE:
            return None
        if answer.status >= CLIENT_ERROR:
            raise UnavailableError(EDGE, "status", str(answer.status))
        try:
            return Document.model_validate_json(answer.body)
        except ValueError as error:
            raise UnavailableError(EDGE, "schema", str(error).partition("\n")[0]) from error
