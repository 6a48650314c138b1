"""`prom/blackbox-exporter`: the Debian package prometheus-blackbox-exporter."""

from __future__ import annotations

from functools import cache

from gameday.runtime.images import Launch, Place, debian

PORTS: tuple[int, ...] = (9115,)
HTTP = True
_PROGRAM = "prometheus-blackbox-exporter"


def missing() -> str | None:
    return debian.missing(_PROGRAM)


def program() -> str:
    return debian.program(_PROGRAM)


@cache
def version() -> str:
    return debian.version("blackbox exporter", _PROGRAM)


async def prepare(place: Place) -> Launch:
    defaults = [
        f"--config.file={place.path('/etc/blackbox_exporter/config.yml')}",
    ]
    return debian.launch(place, _PROGRAM, PORTS[0], defaults)
