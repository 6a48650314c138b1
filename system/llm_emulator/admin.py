"""Switches faults on and off. There is no such API unless `ADMIN_TOKEN` is set."""

from __future__ import annotations

import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from system.kit.problem import ProblemError
from system.llm_emulator.faults import FAULTS, Faults

LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}


class Wanted(BaseModel):
    """`ttl` in seconds; `toxicity` is the share of requests that are touched."""

    model_config = ConfigDict(extra="forbid")

    name: str
    attributes: dict[str, Any] = Field(default_factory=dict)
    ttl: Annotated[float, Field(gt=0, le=3600)] = 60.0
    toxicity: Annotated[float, Field(gt=0, le=1)] = 1.0


def router(faults: Faults, token: str) -> APIRouter:
    def allowed(host: Annotated[str, Header()] = "", authorization: Annotated[str, Header()] = "") -> None:
        """A page in a browser can reach loopback, but it can neither know the token nor name another host."""
        if host.rpartition(":")[0] not in LOOPBACK and host not in LOOPBACK:
            raise ProblemError(403, "the admin API answers to loopback names only")
        if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise ProblemError(401, "the admin API wants the token in ADMIN_TOKEN as a bearer")

    routes = APIRouter(prefix="/admin", include_in_schema=False, dependencies=[Depends(allowed)])

    @routes.get("/faults")
    async def in_force() -> list[dict[str, Any]]:
        return faults.told()

    @routes.post("/faults", status_code=201)
    async def inject(wanted: Wanted) -> dict[str, Any]:
        if wanted.name not in FAULTS:
            raise ProblemError(422, f"there is no fault {wanted.name!r}; there are {', '.join(FAULTS)}")
        try:
            return faults.add(wanted.name, wanted.attributes, wanted.ttl, wanted.toxicity)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
            raise ProblemError(422, f"{wanted.name}: {'; '.join(problems)}") from None

    @routes.delete("/faults/{id_}")
    async def undo(id_: str) -> dict[str, Any]:
        """Idempotent: what is gone already is reported as gone."""
        return {"removed": faults.remove(id_)}

    return routes
