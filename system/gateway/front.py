"""The door of the gateway: answers the routes of its table, and leaves everything else to the framework behind it.

A framework's routing, validation and responses cost more than all policies together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from system.gateway.exchange import Answer, Exchange, HungUpError, refusal
from system.gateway.gateway import Gateway
from system.gateway.policies import Policy
from system.kit import signals
from system.kit.problem import ProblemError

M = TypeVar("M", bound=BaseModel)

BELOW = "/{path}"


@dataclass(frozen=True)
class Route:
    """One row of the table. A `path` that ends in `/{path}` is for everything below it.

    `takes`, `gives`: models of the request and of the answer, None where they are passed through. `status` is the
    answer's where all goes well, `also` are those of the same model that say less.
    """

    method: str
    path: str
    policy: Policy
    handle: Callable[[Gateway, Exchange], Awaitable[Answer]]
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    media_type: str = "application/json"
    status: int = 200
    also: tuple[int, ...] = ()


class FrontDoor:
    def __init__(self, behind: ASGIApp, routes: Iterable[Route]) -> None:
        self._behind = behind
        self._exact: dict[str, dict[str, Route]] = {}
        self._below: dict[str, dict[str, Route]] = {}
        for route in routes:
            table = self._below if route.path.endswith(BELOW) else self._exact
            table.setdefault(route.path.removesuffix(BELOW), {})[route.method] = route
            signals.announce_route(route.path, route.method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods, below = self._find(scope["path"]) if scope["type"] == "http" else (None, "")
        if methods is None:
            await self._behind(scope, receive, send)
            return
        try:
            answer = await _answer(methods, Exchange(scope, receive, below))
        except (ProblemError, HTTPException) as error:
            answer = refusal(error)
        except HungUpError:
            return
        await answer.send(receive, send)

    def _find(self, path: str) -> tuple[dict[str, Route] | None, str]:
        """The routes of `path` by their methods, and what of it lies below them."""
        methods = self._exact.get(path)
        if methods is not None:
            return methods, ""
        for start, below in self._below.items():
            if path.startswith(start) and path[len(start) : len(start) + 1] == "/":
                return below, path[len(start) :]
        return None, ""


async def _answer(methods: dict[str, Route], asked: Exchange) -> Answer:
    route = methods.get(asked.method)
    if route is None:
        raise ProblemError(405, "this path knows other methods", headers={"allow": ", ".join(sorted(methods))})
    asked.scope["route"] = route
    gateway: Gateway = asked.scope["app"].state.gateway
    await gateway.admit(asked, route.policy)
    return await route.handle(gateway, asked)
