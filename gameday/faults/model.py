"""What the faults of a language model have in common: they are switched on in an emulator, over its admin API.

The emulator takes a fault away by itself at the end of its time to live, and counts the requests that met it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from gameday.catalogue import Catalogue
from gameday.errors import GamedayError, Problem
from gameday.faults import Evidence, arguments
from gameday.runtime import Runtime

TOKEN = "ADMIN_TOKEN"  # noqa: S105 - the name of the variable
_PATIENCE = 3.0


class ModelArguments(arguments.Arguments):
    """`toxicity` is the share of requests that the fault acts on."""

    toxicity: float = Field(default=1.0, gt=0, le=1)


class ModelFault:
    """`name` is the emulator's. The target is a service that has the admin API, and so an `ADMIN_TOKEN`."""

    name = ""
    takes: type[arguments.Arguments] = ModelArguments

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        self.target = target
        self.arguments = given
        self._id: str | None = None

    def problems(self, catalogue: Catalogue) -> Sequence[Problem]:
        return [*self._target_problems(catalogue), *arguments.problems(self.name, self.takes, self.arguments)]

    def obstacles(self, runtime: Runtime) -> Sequence[Problem]:
        if runtime.processes(self.target):
            return []
        message = f"{self.target} has no process: nobody could be told of {self.name}"
        return [Problem(message, f"gameday restart {self.target}", key="target", value=self.target)]

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - the emulator names it
        attributes = self.takes.model_validate(dict(self.arguments)).model_dump(exclude_none=True)
        wanted = {"name": self.name, "toxicity": attributes.pop("toxicity"), "attributes": attributes, "ttl": ttl}
        self._id = (await self._call(runtime, "POST", json=wanted))["id"]

    async def in_force(self, runtime: Runtime) -> Evidence:
        found = await self._found(runtime)
        return Evidence(found is not None, {"fault": found})

    async def exercised(self, runtime: Runtime) -> Evidence:
        found = await self._found(runtime)
        met = found["met"] if found else 0
        return Evidence(met > 0, {"met": met})

    async def undo(self, runtime: Runtime) -> None:
        if self._id is not None:
            await self._call(runtime, "DELETE", f"/{self._id}")

    async def undone(self, runtime: Runtime) -> Evidence:
        if self._id is None:
            return Evidence(True, {"reason": "it was never switched on"})
        found = await self._found(runtime)
        return Evidence(found is None, {"fault": found})

    def mend(self) -> str:
        return f"gameday restart {self.target}"

    def _target_problems(self, catalogue: Catalogue) -> list[Problem]:
        able = [name for name, service in catalogue.services.items() if service.environment.get(TOKEN)]
        if self.target in able:
            return []
        message = f"{self.target!r} is no service with an admin API (environment: {TOKEN})"
        return [Problem(message, arguments.nearest(self.target, able), key="target", value=self.target)]

    async def _found(self, runtime: Runtime) -> dict[str, Any] | None:
        return next((each for each in await self._call(runtime, "GET") if each["id"] == self._id), None)

    async def _call(self, runtime: Runtime, method: str, path: str = "", **given: Any) -> Any:
        """Raises GamedayError where the emulator refuses, httpx's errors where it does not answer."""
        # By who injects it alone: every command reads the list of faults.
        import httpx

        token = runtime.catalogue.service(self.target).environment[TOKEN]
        url = f"http://{runtime.endpoint(self.target)}/admin/faults{path}"
        async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as client:
            answer = await client.request(method, url, headers={"authorization": f"Bearer {token}"}, **given)
        if answer.is_error:
            raise GamedayError(f"{self.target} refused {self.name}: {answer.status_code} {answer.text}")
        return answer.json()
