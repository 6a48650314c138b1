"""What a verification of contracts asks of a service: to be in a state, and to make the messages that it publishes.

There are such routes only where `PACT_STATES` is set. What they put into the stores they take back afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, Field

from system.kit.problem import ProblemError
from system.kit.settings import Settings

PATH, MESSAGES_PATH = "/_pact/states", "/_pact/messages"

T = TypeVar("T")

Params = Mapping[str, Any]
# What it gives, a contract's requests may be filled in with.
Enter = Callable[[FastAPI, Params], Awaitable[Mapping[str, Any] | None]]
Leave = Callable[[FastAPI, Params], Awaitable[None]]
Make = Callable[[FastAPI], Awaitable[bytes]]


@dataclass(frozen=True)
class State:
    """`leave` takes back what `enter` did, and is also called before it: an earlier verification may have been cut."""

    enter: Enter
    leave: Leave | None = None


class Wanted(BaseModel):
    """As Pact verifiers send it."""

    state: str
    params: dict[str, Any] = Field(default_factory=dict)
    action: Literal["setup", "teardown"] = "setup"


class Described(BaseModel):
    description: str


def routers(
    settings: Settings, states: Mapping[str, State], messages: Mapping[str, Make] | None = None
) -> list[APIRouter]:
    """None but for a verification. `messages` are made by what the contracts call them."""
    if not settings.pact_states:
        return []
    router = APIRouter(include_in_schema=False)

    @router.post(PATH)
    async def enter(wanted: Wanted, request: Request) -> dict[str, Any]:
        # A verifier also announces an interaction that wants no state.
        if not wanted.state:
            return {}
        state = _known(states, wanted.state, "provider state")
        values = await _held(_entered(state, request.app, wanted))
        return dict(values or {})

    @router.post(MESSAGES_PATH)
    async def make(wanted: Described, request: Request) -> Response:
        maker = _known(messages or {}, wanted.description, "message")
        return Response(await _held(maker(request.app)), media_type="application/json")

    return [router]


async def _entered(state: State, app: FastAPI, wanted: Wanted) -> Mapping[str, Any] | None:
    if state.leave:
        await state.leave(app, wanted.params)
    return await state.enter(app, wanted.params) if wanted.action == "setup" else None


async def _held(work: Awaitable[T]) -> T:
    """Not a 5xx where it fails: verifiers try those again for minutes."""
    try:
        return await work
    except Exception as error:
        raise ProblemError(424, f"it cannot be had: {type(error).__name__}: {error}") from error


def _known(table: Mapping[str, T], name: str, kind: str) -> T:
    if name not in table:
        raise ProblemError(422, f"there is no {kind} {name!r}; there are {', '.join(table) or 'none'}")
    return table[name]


@dataclass
class Captured:
    """A bus that keeps what is published over it."""

    bodies: list[bytes] = field(default_factory=list)

    async def publish(
        self,
        event: str,
        body: BaseModel | bytes,
        *,
        message_id: UUID,
        headers: Mapping[str, str] | None = None,
        occurred: datetime | None = None,
    ) -> None:
        del event, message_id, headers, occurred
        self.bodies.append(body if isinstance(body, bytes) else body.model_dump_json(by_alias=True).encode())

    @property
    def only(self) -> bytes:
        [body] = self.bodies
        return body
