"""A service can take no more memory than a little above what it has (RLIMIT_AS). Undo: the old limit."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field

from gameday.faults import Evidence, probe, tree
from gameday.faults.arguments import Arguments
from gameday.faults.service import ServiceFault
from gameday.runtime import Endpoint, ProcessId, Runtime, procfs

_MIB = 1024 * 1024
_PATIENCE = 1.0


class MemoryArguments(Arguments):
    """`headroom`: the MiB of address space that each process may still take."""

    headroom: int = Field(default=0, ge=0, le=1024 * 1024)


class Memory(ServiceFault):
    name = "memory"
    takes = MemoryArguments

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        super().__init__(target, given)
        self._limits: dict[ProcessId, int] = {}
        self._before_limits: dict[ProcessId, int] = {}
        self._roots: list[ProcessId] = []
        self._spoke: list[Endpoint] = []

    async def inject(self, runtime: Runtime, lease: str, ttl: float) -> None:  # noqa: ARG002 - the keeper's clock rules
        given = MemoryArguments.model_validate(dict(self.arguments))
        self._spoke = [
            each for each in tree.endpoints(runtime, self.target) if await _says(each, probe.Answer.ANSWERED)
        ]
        await self.mark(runtime)
        processes = tree.walk(runtime, self.target)
        self._roots = tree.roots(processes)
        for process in processes:
            self._limits[process] = _mapped(process) + given.headroom * _MIB
            self._before_limits[process] = _soft(process)
            _set(process, self._limits[process])

    async def in_force(self, runtime: Runtime) -> Evidence:
        """A process that the shortage ended is as good as one that is limited; children inherit the limit."""
        limits = {str(process.pid): _soft(process) for process in self._everyone(runtime)}
        within = all(limit != resource.RLIM_INFINITY for limit in limits.values())
        return Evidence(bool(self._limits) and within, {"limits": limits})

    async def undo(self, runtime: Runtime) -> None:
        if not self._limits:
            return
        highest = max(self._before_limits.values(), key=_height)
        for process in self._everyone(runtime):
            _set(process, self._before_limits.get(process, highest))
        if not await self._lives():
            await runtime.restart(self.target)
            self._roots = tree.roots(tree.walk(runtime, self.target))

    async def undone(self, runtime: Runtime) -> Evidence:
        limits = {process: _soft(process) for process in self._everyone(runtime)}
        ours = set(self._limits.values())
        whole = bool(limits) and not ours & set(limits.values()) and await self._lives()
        return Evidence(whole, {"limits": {str(process.pid): limit for process, limit in limits.items()}})

    def mend(self) -> str:
        return f"gameday restart {self.target}"

    async def _lives(self) -> bool:
        """A service may outlive the shortage and yet be stuck: what answered before must not be silent now."""
        silent = [each for each in self._spoke if await _says(each, probe.Answer.SILENT)]
        return not silent and all(map(procfs.alive, self._roots))

    def _everyone(self, runtime: Runtime) -> list[ProcessId]:
        known = {*self._limits, *tree.walk(runtime, self.target)}
        return [process for process in known if procfs.alive(process)]


async def _says(endpoint: Endpoint, answer: probe.Answer) -> bool:
    return await probe.ask(endpoint, _PATIENCE) is answer


def _soft(process: ProcessId) -> int:
    """The limit in bytes; RLIM_INFINITY also of a process that has gone meanwhile."""
    with suppress(ProcessLookupError):
        return resource.prlimit(process.pid, resource.RLIMIT_AS)[0]
    return resource.RLIM_INFINITY


def _set(process: ProcessId, soft: int) -> None:
    with suppress(ProcessLookupError):
        if procfs.alive(process):
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
            resource.prlimit(process.pid, resource.RLIMIT_AS, (soft, hard))


def _mapped(process: ProcessId) -> int:
    """The address space of `process` in bytes."""
    with suppress(OSError):
        pages = Path(f"/proc/{process.pid}/statm").read_text().split()[0]
        return int(pages) * resource.getpagesize()
    return 0


def _height(limit: int) -> float:
    return float("inf") if limit == resource.RLIM_INFINITY else limit
