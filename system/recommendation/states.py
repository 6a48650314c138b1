"""Provider states for contract verification. There is no such route unless `PACT_STATES` is set."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from system.kit.client import UnavailableError
from system.kit.problem import ProblemError
from system.recommendation.features import Features
from system.recommendation.serving import Serving

PATH = "/_pact/states"
# How many items the user of each state likes.
STATES = {"a user who likes some items": 3, "a user of whom nothing is known": 0}


class State(BaseModel):
    """As Pact verifiers send it."""

    state: str
    params: dict[str, Any] = Field(default_factory=dict)
    action: Literal["setup", "teardown"] = "setup"


def router(serving: Serving, features: Features) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.post(PATH)
    async def enter(wanted: State) -> dict[str, Any]:
        # A verifier also announces an interaction that wants no state.
        if not wanted.state:
            return {}
        user = str(wanted.params.get("userId", ""))
        likes = STATES.get(wanted.state)
        if likes is None:
            raise ProblemError(422, f"there is no provider state {wanted.state!r}; there are {', '.join(STATES)}")
        try:
            await features.forget(user)
            if likes and wanted.action == "setup":
                await features.like(user, serving.model.item_ids[:likes])
        except UnavailableError as error:
            # Not a 5xx: verifiers try those again for minutes.
            raise ProblemError(424, f"the state cannot be entered: {error}") from error
        return {"state": wanted.state, "modelVersion": serving.model.version}

    return routes
