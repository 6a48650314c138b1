"""Which content of a service a verification speaks of: what it runs, not how it is set up.

A version is a hash of the image, the command and the files that the service is built of. Settings are not in it: they
differ from place to place, and a contract is about what the program does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from gameday.catalogue import Catalogue, Service

# Of the hash; enough that no two contents of a project share it.
LENGTH = 16
_MADE = frozenset({"__pycache__", "node_modules"})


def version(catalogue: Catalogue, service: Service) -> str:
    told = [service.image, service.command, service.process_command, service.entrypoint]
    found = hashlib.sha256(json.dumps(told).encode())
    for file in sorted(_files(catalogue, service)):
        found.update(f"{file.relative_to(catalogue.directory)}\0{_hash(file)}\0".encode())
    return found.hexdigest()[:LENGTH]


def _files(catalogue: Catalogue, service: Service) -> Iterator[Path]:
    """Below `x-gameday.sources`, else the build context; nothing hidden, made by a run, or kept out of images."""
    kept_out = _kept_out(catalogue.directory)
    for root in catalogue.sources(service):
        for file in (root, *root.rglob("*")):
            parts = file.relative_to(root).parts
            hidden = any(part.startswith(".") or part in _MADE for part in parts)
            if file.is_file() and not hidden and not any(file.is_relative_to(path) for path in kept_out):
                yield file


def _kept_out(project: Path) -> list[Path]:
    """The plain paths of `.dockerignore`."""
    ignored = project / ".dockerignore"
    lines = ignored.read_text().splitlines() if ignored.exists() else []
    return [project / line.strip().strip("/") for line in lines if line.strip() and not set(line) & set("*?[!#")]


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
