"""Which service talks to which, as the kernel's table of connections says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gameday.runtime import ProcessId, procfs
from gameday.runtime.procfs import Connection


@dataclass(frozen=True, order=True)
class Seen:
    """`port` is the provider's container port."""

    consumer: str
    provider: str
    port: int


def observe(members: Mapping[ProcessId, str], listeners: Mapping[int, tuple[str, int]]) -> set[Seen]:
    """Connections that are open now. `listeners`: port on this machine -> (service, container port).

    A wire's port stands for the service behind it. Reads /proc.
    """
    owners = procfs.socket_owners(process.pid for process in members)
    services = {process.pid: service for process, service in members.items()}
    return edges(procfs.connections(), {inode: services[pid] for inode, pid in owners.items()}, listeners)


def edges(
    connections: Iterable[Connection], owners: Mapping[int, str], listeners: Mapping[int, tuple[str, int]]
) -> set[Seen]:
    """As `observe`, of a given table; `owners`: socket inode -> service."""
    found = set()
    for connection in connections:
        consumer = owners.get(connection.inode)
        provider, port = listeners.get(connection.remote_port, (None, 0))
        if consumer and provider and consumer != provider:
            found.add(Seen(consumer, provider, port))
    return found
