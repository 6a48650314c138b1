"""Every process of a service stops where it is (SIGSTOP): it accepts and does not answer. Undo: SIGCONT."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from gameday.faults import Evidence, probe, tree
from gameday.faults.service import ServiceFault
from gameday.runtime import ProcessId, Runtime, procfs


class Pause(ServiceFault):
    name = "pause"

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        super().__init__(target, given)
        self._frozen: set[ProcessId] = set()

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - the keeper's clock rules
        await tree.freeze(runtime, self.target, self._frozen)
        await self.mark(runtime)

    async def in_force(self, runtime: Runtime) -> Evidence:
        endpoints = tree.endpoints(runtime, self.target)
        processes = self._everyone(runtime) | set(tree.holders([endpoint.port for endpoint in endpoints]))
        facts: dict[str, Any] = {"processes": tree.states(processes)}
        if not processes or not set(facts["processes"].values()) <= tree.STOPPED:
            return Evidence(False, facts)
        facts["ports"] = {str(endpoint): str(await probe.ask(endpoint)) for endpoint in endpoints}
        return Evidence(probe.Answer.ANSWERED not in facts["ports"].values(), facts)

    async def undo(self, runtime: Runtime) -> None:
        for process in self._everyone(runtime):
            procfs.send(process, signal.SIGCONT)

    async def undone(self, runtime: Runtime) -> Evidence:
        states = tree.states(self._everyone(runtime))
        return Evidence(not tree.STOPPED & set(states.values()), {"processes": states})

    def mend(self) -> str:
        return f"kill -CONT {' '.join(str(process.pid) for process in self._frozen)}, or gameday restart {self.target}"

    def _everyone(self, runtime: Runtime) -> set[ProcessId]:
        known = self._frozen | set(tree.walk(runtime, self.target))
        return {process for process in known if procfs.alive(process)}
