"""One request to the gateway and its answer, read and written without a framework: this is the hot path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from system.gateway.limits import Allowance
from system.kit import deadline, problem
from system.kit.problem import ProblemError
from system.kit.tokens import Claims

M = TypeVar("M", bound=BaseModel)
Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"


class Answer(Protocol):
    async def send(self, receive: Receive, send: Send) -> None: ...


class Exchange:
    """A request, of which nothing is read before somebody asks. `below`: the rest of its path, under the route's.

    What its policies found stands in `claims`, who sends it, and `allowance`, what that caller has left.
    """

    __slots__ = ("allowance", "below", "claims", "headers", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive, below: str) -> None:
        self.scope = scope
        self.receive = receive
        self.below = below
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.claims: Claims | None = None
        self.allowance: Allowance | None = None

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def address(self) -> str:
        client = self.scope.get("client")
        return client[0] if client else "unknown"

    @property
    def sender(self) -> Claims:
        """Of a route whose policy requires a token."""
        assert self.claims  # noqa: S101  the policy has seen to it
        return self.claims

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def body(self) -> bytes:
        """Raises ProblemError where it does not come in the time of its route, HungUpError."""
        if b"content-length" not in self.headers and b"transfer-encoding" not in self.headers:
            return b""
        try:
            async with asyncio.timeout(deadline.remaining(deadline.LONGEST_SECONDS)):
                return await self._received()
        except TimeoutError as error:
            raise ProblemError(408, "the body did not come in time") from error

    async def _received(self) -> bytes:
        pieces = []
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise HungUpError
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(pieces)

    async def read(self, model: type[M]) -> M:
        """The address's parameters of a GET, else the JSON of the body. Raises ProblemError."""
        if self.method == "GET":
            return _valid("query", model.model_validate, dict(self._parameters()))
        if not self.headers.get(b"content-type", b"").startswith(JSON):
            raise ProblemError(415, "the body has to be application/json")
        return _valid("body", model.model_validate_json, await self.body())

    def _parameters(self) -> Iterable[tuple[str, str]]:
        return parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)


class HungUpError(Exception):
    """The client left while it was being read: nobody waits for an answer."""


class Reply:
    """A whole answer."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, headers: Headers) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    async def send(self, receive: Receive, send: Send) -> None:
        del receive
        # An answer that has no body by its status must not announce the length of one.
        length = [] if self.status in {204, 304} else [(b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, *length]})
        await send({"type": "http.response.body", "body": self.body})


def reply(asked: Exchange, model: BaseModel, headers: Headers) -> Reply:
    return Reply(200, model.model_dump_json().encode(), [(b"content-type", JSON), *headers, *told(asked)])


def told(asked: Exchange) -> Headers:
    """What each answer says to its caller."""
    return asked.allowance.headers if asked.allowance else []


def refusal(error: ProblemError | HTTPException) -> Reply:
    if isinstance(error, HTTPException):
        error = ProblemError(error.status_code, str(error.detail), headers=error.headers)
    headers = [(name.encode(), value.encode("latin-1")) for name, value in (error.headers or {}).items()]
    body = problem.body(error.status, error.detail, error.extra)
    return Reply(error.status, body, [(b"content-type", problem.MEDIA_TYPE.encode()), *headers])


def _valid(where: str, validate: Callable[[Any], M], given: Any) -> M:
    """Says where the input is wrong and why, but never repeats it: it may be a password."""
    try:
        return validate(given)
    except ValidationError as error:
        raise problem.misfit(error.errors(include_url=False, include_input=False), where) from error
