"""What was given up, and how it is brought back. Not reached through the gateway."""

from __future__ import annotations

from fastapi import APIRouter

from system.kit.client import UnavailableError
from system.kit.problem import ProblemError
from system.notification.jobs import Dead, Jobs


def make(jobs: Jobs) -> APIRouter:
    router = APIRouter(prefix="/internal/dead")

    @router.get("")
    async def dead() -> list[Dead]:
        try:
            return await jobs.dead()
        except UnavailableError as error:
            raise ProblemError(503, "the queue cannot be read now", headers={"retry-after": "1"}) from error

    @router.post("/{identifier}/replay", status_code=202)
    async def replay(identifier: str) -> None:
        try:
            found = await jobs.replay(identifier)
        except UnavailableError as error:
            raise ProblemError(503, "the queue cannot be told now", headers={"retry-after": "1"}) from error
        if not found:
            raise ProblemError(404, "no such mail was given up")

    return router
