"""A service's processes: stopping all of them, and asking the kernel who still serves its ports."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Collection, Iterable

from gameday.errors import GamedayError
from gameday.runtime import Endpoint, ProcessId, Runtime, procfs

STOPPED = frozenset("Tt")
DEAD = frozenset("ZX")
_FREEZE_SECONDS = 3.0
_QUIET_WALKS = 2


async def freeze(runtime: Runtime, service: str, frozen: set[ProcessId]) -> None:
    """Stops every process of `service` and notes it in `frozen`. Raises GamedayError if one goes on.

    A process may fork while the tree is walked, so it is walked until two walks in a
    row find nothing that runs: by the second, nobody was left to fork.
    """
    deadline = time.monotonic() + _FREEZE_SECONDS
    quiet = 0
    while quiet < _QUIET_WALKS:
        running = [process for process in walk(runtime, service) if not is_stopped(process)]
        quiet = 0 if running else quiet + 1
        frozen.update(running)
        for process in running:
            procfs.send(process, signal.SIGSTOP)
        if time.monotonic() > deadline:
            raise GamedayError(f"{service}: still running after SIGSTOP: {[process.pid for process in running]}")
        await asyncio.sleep(0.002)


def walk(runtime: Runtime, service: str) -> list[ProcessId]:
    return list(runtime.processes(service))


def roots(processes: Collection[ProcessId]) -> list[ProcessId]:
    """Those whose parent is none of `processes`: what was started, and what daemonised itself."""
    known = {process.pid: procfs.stat(process.pid) for process in processes}
    return [process for process in processes if (stat := known[process.pid]) is None or stat.parent not in known]


def is_stopped(process: ProcessId) -> bool:
    """Dead counts as stopped: it does nothing any more."""
    state = procfs.state(process)
    return state is None or state in STOPPED or state in DEAD


def states(processes: Iterable[ProcessId]) -> dict[str, str]:
    """pid -> the kernel's letter, `gone` where it was reaped. JSON wants string keys."""
    return {str(process.pid): procfs.state(process) or "gone" for process in processes}


def endpoints(runtime: Runtime, service: str) -> list[Endpoint]:
    """Where `service`, each replica of it, listens, as its own entry or its consumers say."""
    each = runtime.catalogue.replicas(service)
    asked = (edge.port for edge in runtime.catalogue.consumers(each[0].name) if edge.port is not None)
    ports = dict.fromkeys((*each[0].ports, *asked))
    return [runtime.endpoint(one.replica, port) for one in each for port in ports]


def holders(ports: Collection[int]) -> list[ProcessId]:
    """Every process with a server's socket on one of `ports`.

    Asks the sockets and not the tree, so that a worker that the walk of the tree
    missed (PostgreSQL's backends leave their session) is seen all the same.
    """
    inodes = procfs.served(ports)
    # Reading every file of every process takes long; a dead service has no socket to look for.
    owners = procfs.socket_owners(procfs.snapshot()) if inodes else {}
    pids = {owners[inode] for inode in inodes if inode in owners}
    identified = map(procfs.identify, pids)
    return [process for process in identified if process is not None]
