"""Which port of this machine each container port gets. Loopback only."""

from __future__ import annotations

import re
import socket
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from gameday.catalogue import Service
from gameday.catalogue.model import Published
from gameday.errors import InputError, Problem
from gameday.runtime import Endpoint, procfs

LOOPBACK = "127.0.0.1"
# Below the range from which the kernel takes the ports of outgoing connections,
# so that none of those sits on a port that a restarted service needs again.
# Two ranges: a port that was allotted is not bound until its service has started.
_ALLOTTED = range(20_000, 32_000)
_PRIVATE = range(32_000, 32_768)
_VARIABLE = re.compile(r"\$\{(\w+)[:}?-]")


def allot(
    wanted: Mapping[str, Collection[int]], services: Mapping[str, Service], place: Path
) -> dict[str, dict[int, Endpoint]]:
    """Gives each container port in `wanted` a port of the host: the published one or a free one.

    What is wanted for a name that is none of `services`, that of a replica, is free.
    The same `place` gets the same free ports again where nothing else took them.
    Raises InputError naming every published port that is in use.
    """
    published = {
        (name, entry.target): entry
        for name in wanted
        for entry in (services[name].published if name in services else ())
        if entry.host is not None
    }
    found = problems([services[name] for name in wanted if name in services])
    if found:
        raise InputError(found)
    free = _free(place, _ALLOTTED, taken={entry.host for entry in published.values() if entry.host})
    return {
        name: {port: Endpoint(LOOPBACK, _host_port(published.get((name, port)), free)) for port in ports}
        for name, ports in wanted.items()
    }


def problems(services: Iterable[Service]) -> list[Problem]:
    """Every published port that somebody else holds."""
    published = (entry for service in services for entry in service.published)
    return [problem for entry in published if (problem := _in_use(entry))]


def _host_port(entry: Published | None, free: Iterator[int]) -> int:
    return entry.host if entry is not None and entry.host is not None else next(free)


def _free(place: Path, among: range, taken: Collection[int]) -> Iterator[int]:
    start = zlib.crc32(str(place).encode()) % len(among)
    for step in range(len(among)):
        port = among[(start + step) % len(among)]
        if port not in taken and available(port):
            yield port


def private(place: Path, count: int) -> list[int]:
    """Ports that no container port stands for, such as those of a distribution protocol."""
    return list(islice(_free(place, _PRIVATE, taken=()), count))


def available(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a connection that lingers in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _in_use(entry: Published) -> Problem | None:
    if entry.host is None or available(entry.host):
        return None
    port = entry.host
    holder = procfs.listener(port)
    by = f" by process {holder} ({procfs.command(holder)[:60]})" if holder else ""
    where = entry.location
    return Problem(
        f"port {port} is in use{by}",
        mend=_mend(entry, port),
        file=where.file if where else None,
        line=where.line if where else None,
        key="ports",
        value=port,
    )


def _mend(entry: Published, port: int) -> str:
    other = next(filter(available, range(port + 1, 65_536)), 0)
    variable = _VARIABLE.search(_source(entry))
    if variable:
        return f"{variable[1]}={other} gameday up"
    return f"end that process, or publish another port such as {other}"


def _source(entry: Published) -> str:
    if entry.location is None:
        return ""
    try:
        return entry.location.file.read_text().splitlines()[entry.location.line - 1]
    except (OSError, IndexError):
        return ""
