"""Local servers in the place of images. One image a module, each a `LocalServer`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Protocol

from gameday.catalogue import Service
from gameday.runtime import Endpoint


@dataclass(frozen=True)
class Place:
    """Where a server runs: its own ports and directories on this machine.

    `environment` and `arguments` have their addresses and paths rewritten;
    `home` is a directory of its own that outlives it; `path` maps a container path
    that is mounted, and puts any other below `home`.
    """

    service: Service
    endpoints: Mapping[int, Endpoint]
    environment: Mapping[str, str]
    inherited: Mapping[str, str]
    arguments: tuple[str, ...]
    home: Path
    path: Callable[[str], Path]


@dataclass(frozen=True)
class Launch:
    """What to start. `initialise` runs once it answers, before it counts as healthy."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    stop_signal: Signals = SIGTERM
    initialise: Callable[[], Awaitable[None]] | None = None


class LocalServer(Protocol):
    """The functions of a module in this package."""

    # What the image listens on where compose does not say.
    PORTS: tuple[int, ...]
    # Whether a person can ask its first port with a browser.
    HTTP: bool

    def missing(self) -> str | None:
        """The package to install for the server to be there; None where it is."""

    def version(self) -> str:
        """Name and version, as `PostgreSQL 18.4`."""

    def program(self) -> str:
        """Where it stands on this machine. Raises GamedayError where it is missing."""

    async def prepare(self, place: Place) -> Launch:
        """Makes what the server needs on disk. Raises GamedayError where that fails."""
