"""Every process of a service dies at once, as after `kill -9`. Undo: it is started again."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from gameday.faults import Evidence, probe, tree
from gameday.faults.service import ServiceFault
from gameday.runtime import ProcessId, Runtime, State, procfs


class Kill(ServiceFault):
    name = "kill"

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        super().__init__(target, given)
        self._victims: set[ProcessId] = set()

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - the keeper's clock rules
        # Stopped first: a tree that still forks can outrun the walk, and orphans leave it.
        await tree.freeze(runtime, self.target, self._victims)
        self._victims.update(tree.walk(runtime, self.target))
        for process in self._victims:
            procfs.send(process, signal.SIGKILL)
        await self.mark(runtime)

    async def in_force(self, runtime: Runtime) -> Evidence:
        processes = self._victims | set(tree.walk(runtime, self.target))
        facts: dict[str, Any] = {"processes": tree.states(processes)}
        if any(procfs.alive(process) for process in processes):
            return Evidence(False, facts)
        endpoints = tree.endpoints(runtime, self.target)
        facts["ports"] = {str(endpoint): str(await probe.ask(endpoint)) for endpoint in endpoints}
        facts["holders"] = tree.states(tree.holders([endpoint.port for endpoint in endpoints]))
        return Evidence(probe.Answer.ANSWERED not in facts["ports"].values() and not facts["holders"], facts)

    async def undo(self, runtime: Runtime) -> None:
        if not (await self.undone(runtime)).holds:
            await runtime.restart(self.target)

    async def undone(self, runtime: Runtime) -> Evidence:
        names = {each.replica for each in runtime.catalogue.replicas(self.target)}
        states = {each.name: str(each.state) for each in await runtime.list() if each.name in names}
        ports = [endpoint.port for endpoint in tree.endpoints(runtime, self.target)]
        holders = tree.holders(ports)
        born = set(tree.walk(runtime, self.target)) - self._victims
        # Another program on the port would pass for the service in the eyes of a health check.
        strangers = {process for process in holders if process not in born and procfs.alive(process)}
        facts = {"states": states, "processes": tree.states(born), "strangers": tree.states(strangers)}
        return Evidence(set(states.values()) == {State.HEALTHY} and bool(born) and not strangers, facts)

    def mend(self) -> str:
        return f"gameday restart {self.target}"
