"""What the servers of the Prometheus family share: one Debian program, flags, one address."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from gameday.errors import GamedayError
from gameday.runtime.images import Launch, Place


def missing(server: str) -> str | None:
    return None if shutil.which(server) else f"apt-get install {server}"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise GamedayError(f"{name} is not installed: {missing(name)}")
    return found


def version(name: str, server: str) -> str:
    """From `prometheus, version 2.42.0+ds (branch: debian/sid, ...)`, on stdout or stderr."""
    done = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
    words = (done.stdout + done.stderr).split()
    return f"{name} {words[words.index('version') + 1].partition('+')[0]}"


# Where a server of this family keeps what it knows.
_STORAGE = ("--storage.path", "--storage.tsdb.path")


def launch(place: Place, server: str, port: int, defaults: Sequence[str]) -> Launch:
    arguments = [
        _stored(place, argument)
        for argument in place.arguments or defaults
        if not argument.startswith("--web.listen-address")
    ]
    argv = (program(server), *arguments, f"--web.listen-address={place.endpoints[port]}")
    return Launch(argv, {**place.inherited, **place.environment}, place.home)


def _stored(place: Place, argument: str) -> str:
    """Storage that no volume holds goes with the container, so it begins empty and below `home`.

    An Alertmanager that finds the notification log of an earlier system takes its
    alerts for notified, and keeps silent.
    """
    flag, _, path = argument.partition("=")
    if flag not in _STORAGE or argument not in (place.service.command or ()):
        return argument
    directory = place.path(path)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return f"{flag}={directory}"
