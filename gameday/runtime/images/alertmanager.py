"""`prom/alertmanager`: the Debian package prometheus-alertmanager."""

from __future__ import annotations

from functools import cache

from gameday.runtime.images import Launch, Place, debian

PORTS: tuple[int, ...] = (9093,)
HTTP = True
_PROGRAM = "prometheus-alertmanager"


def missing() -> str | None:
    return debian.missing(_PROGRAM)


def program() -> str:
    return debian.program(_PROGRAM)


@cache
def version() -> str:
    return debian.version("Alertmanager", _PROGRAM)


async def prepare(place: Place) -> Launch:
    defaults = [
        f"--config.file={place.path('/etc/alertmanager/alertmanager.yml')}",
        f"--storage.path={place.path('/alertmanager')}",
        "--cluster.listen-address=",
    ]
    return debian.launch(place, _PROGRAM, PORTS[0], defaults)
