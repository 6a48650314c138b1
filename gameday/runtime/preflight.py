"""What would keep services from starting here, before anything is started."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from gameday.catalogue import Catalogue, Service
from gameday.errors import Problem
from gameday.runtime import forks
from gameday.runtime.images import registry
from gameday.runtime.layout import command


def problems(catalogue: Catalogue, services: Collection[str]) -> list[Problem]:
    """Images without a local server, programs that are not there. The ports are tested where they are allotted."""
    found = (_problem(catalogue.services[name]) for name in services)
    return [problem for problem in found if problem is not None]


def _problem(service: Service) -> Problem | None:
    if service.build is None and service.process_command is None:
        return registry.problem(service)
    argv = command(service)
    if not argv:
        return _nothing_to_run(service)
    directory = service.build or Path.cwd()
    path = forks.environment()["PATH"]
    if argv[0] == "python" or shutil.which(argv[0], path=path) or shutil.which(directory / argv[0]):
        return None
    return Problem(
        f"{service.name}: the program {argv[0]!r} is not on this machine",
        mend=f"install it beside {sys.executable}, or name another under x-gameday: command",
        file=service.location.file,
        line=service.location.line,
        key=f"services.{service.name}.command",
        value=" ".join(argv),
    )


def _nothing_to_run(service: Service) -> Problem:
    return Problem(
        f"{service.name}: compose does not say which command its image runs",
        mend="give it `command: [...]`, or one for this machine alone under x-gameday: command",
        file=service.location.file,
        line=service.location.line,
        key=f"services.{service.name}.command",
    )
