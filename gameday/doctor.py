"""What this machine must have to run a catalogue, and what it has. Executes nothing of the user's project.

The programs of local servers are asked for their version; that is all that runs.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gameday.catalogue import Catalogue, Service
from gameday.control import Control
from gameday.errors import InputError
from gameday.runtime import ports, procfs
from gameday.runtime.images import LocalServer, registry

# Below this the reference system, which takes about 0.7 GiB, leaves nothing for the load.
_LEAST_MEMORY_MIB = 1024


@dataclass(frozen=True)
class Item:
    """`found` is empty where it is missing; `mend` says then what to do, and is empty else."""

    what: str
    needed_by: str
    found: str
    where: str = ""
    mend: str = ""


def examine(catalogue: Catalogue | None) -> list[Item]:
    """What `catalogue` needs; without one, what any catalogue might: every local server."""
    services = catalogue.services if catalogue else {}
    return [
        _python(),
        *(_catalogue_servers(services) if catalogue else _every_server()),
        *_ports(services),
        _memory(),
    ]


def _python() -> Item:
    return Item("Python", "gameday", platform.python_version(), sys.executable)


def _catalogue_servers(services: Mapping[str, Service]) -> Iterator[Item]:
    needs: dict[str, list[Service]] = {}
    for service in services.values():
        if service.image and service.build is None and service.process_command is None:
            needs.setdefault(service.image, []).append(service)
    for image, users in needs.items():
        names = ", ".join(service.name for service in users)
        server = registry.find(image)
        problem = registry.problem(users[0])
        if server and not problem:
            yield _there(image, names, server)
        else:
            yield Item(image, names, "", mend=problem.mend if problem else "")


def _every_server() -> Iterator[Item]:
    for image, server in registry.SERVERS.items():
        mend = server.missing()
        yield Item(image, "its image", "", mend=mend) if mend else _there(image, "its image", server)


def _there(image: str, needed_by: str, server: LocalServer) -> Item:
    return Item(image, needed_by, server.version(), server.program())


def _ports(services: Mapping[str, Service]) -> Iterator[Item]:
    running = _running()
    for service in services.values():
        for published in service.published:
            if published.host is None:
                continue
            if service.name in running or ports.available(published.host):
                found = "held by this system" if service.name in running else "free"
                yield Item(f"port {published.host}", service.name, found)
            else:
                holder = procfs.listener(published.host)
                mend = f"end process {holder}, or publish another port" if holder else "publish another port"
                yield Item(f"port {published.host}", service.name, "", mend=mend)


def _running() -> frozenset[str]:
    """The services of the system that this state directory runs, if one does."""
    try:
        with Control.connect() as control:
            return frozenset(service["name"] for service in control.call("status")["services"])
    except InputError:
        return frozenset()


def _memory() -> Item:
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable"))
    where = f"{os.cpu_count()} cores"
    if available < _LEAST_MEMORY_MIB:
        return Item("memory", "all", "", where, f"only {available} MiB available: end what else uses memory")
    return Item("memory", "all", f"{available / 1024:.1f} GiB available", where)
