"""Which compose files may run commands of this machine.

In the process runtime a compose file names host commands. The first `up` of a file
that nobody approved shows them and asks. What is approved is the set of commands,
not the path: a change of any of them asks again. Approvals are kept per user and
never in the project, where a stranger could ship his own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import gameday
from gameday.catalogue import Catalogue, Service
from gameday.runtime.layout import command, runs_image


def commands(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """(service, what it runs) for each service that is not a local server in the place of an image."""
    for service in catalogue.services.values():
        if not runs_image(service):
            yield service.name, " ".join(command(service))
        if service.health is not None and service.health.test[:1] != ("NONE",):
            yield f"{service.name} (health check)", " ".join(service.health.test[1:])


def approved(catalogue: Catalogue) -> bool:
    return _ours(catalogue) or fingerprint(catalogue) in _approvals()


def approve(catalogue: Catalogue) -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"{fingerprint(catalogue)} {catalogue.files[0]}\n")


def fingerprint(catalogue: Catalogue) -> str:
    """Of everything in `catalogue` that can make this machine run something."""
    digest = hashlib.sha256()
    for service in catalogue.services.values():
        digest.update(repr(_runs(service)).encode())
    digest.update(repr(catalogue.preload).encode())
    return digest.hexdigest()


def _runs(service: Service) -> tuple[object, ...]:
    test = service.health.test if service.health else ()
    volumes = sorted((volume.kind, volume.source or "", volume.target) for volume in service.volumes)
    return (service.name, service.image, command(service), service.build, service.working_dir, test, volumes)


def _ours(catalogue: Catalogue) -> bool:
    """Files beside the code that is running right now: whoever runs the one trusts the other."""
    root = Path(gameday.__file__).parents[1]
    return root.name != "site-packages" and all(file.is_relative_to(root) for file in catalogue.files)


def _approvals() -> set[str]:
    try:
        return {line.split()[0] for line in _path().read_text().splitlines() if line.strip()}
    except FileNotFoundError:
        return set()


def _path() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "gameday" / "trusted"
