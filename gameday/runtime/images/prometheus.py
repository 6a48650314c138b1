"""`prom/prometheus`: the Debian package prometheus."""

from __future__ import annotations

from functools import cache

from gameday.runtime.images import Launch, Place, debian

PORTS: tuple[int, ...] = (9090,)
HTTP = True
_PROGRAM = "prometheus"


def missing() -> str | None:
    return debian.missing(_PROGRAM)


def program() -> str:
    return debian.program(_PROGRAM)


@cache
def version() -> str:
    return debian.version("Prometheus", _PROGRAM)


async def prepare(place: Place) -> Launch:
    defaults = [
        f"--config.file={place.path('/etc/prometheus/prometheus.yml')}",
        f"--storage.tsdb.path={place.path('/prometheus')}",
    ]
    return debian.launch(place, _PROGRAM, PORTS[0], defaults)
