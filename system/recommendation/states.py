"""Provider states for contract verification. There is no such route unless `PACT_STATES` is set."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from system.kit.problem import ProblemError
from system.recommendation.features import Features
from system.recommendation.serving import Serving

PATH = "/_pact/states"


class State(BaseModel):
    """As Pact verifiers send it."""

    state: str
    params: dict[str, Any] = Field(default_factory=dict)
    action: Literal["setup", "teardown"] = "setup"


def router(serving: Serving, features: Features) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.post(PATH)
    async def enter(wanted: State) -> dict[str, Any]:
        user = str(wanted.params.get("userId", ""))
        match wanted.state:
            case "a user who likes some items":
                await features.forget(user)
                if wanted.action == "setup":
                    await features.like(user, serving.model.item_ids[:3])
            case "a user of whom nothing is known":
                await features.forget(user)
            case _:
                raise ProblemError(422, f"there is no provider state {wanted.state!r}")
        return {"state": wanted.state, "modelVersion": serving.model.version}

    return routes
