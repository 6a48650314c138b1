"""What changed since a commit, and which services that is: a gate need only run what was touched.

What a service is built of says `x-gameday.sources`, else its build context. A file that belongs to nothing known,
such as the compose file or the SLO file, may change everything.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gameday.catalogue import Catalogue
from gameday.errors import InputError, Problem
from gameday.experiment import DIRECTORY

# Read by people alone.
_PROSE = frozenset({".md"})


@dataclass(frozen=True)
class Changes:
    """Since `ref`. `beyond` are files that belong to no service and no experiment: with one, everything may differ."""

    ref: str
    services: frozenset[str]
    experiments: frozenset[str]
    beyond: tuple[str, ...]

    def touch(self, services: Collection[str], experiment: str = "") -> bool:
        """Whether one of `services`, or the `experiment` itself, may behave otherwise than it did."""
        return bool(self.beyond or self.services & set(services) or experiment in self.experiments)


def since(ref: str, catalogue: Catalogue) -> Changes:
    """Committed or not. Raises InputError where the project is in no repository, or that has no such commit."""
    services: set[str] = set()
    experiments: set[str] = set()
    beyond: list[str] = []
    for name in _changed(ref, catalogue.directory):
        file = catalogue.directory / name
        owners = {
            service.name
            for service in catalogue.services.values()
            if any(file.is_relative_to(source) for source in catalogue.sources(service))
        }
        if file.parent == catalogue.directory / DIRECTORY:
            experiments.add(file.stem)
        elif owners:
            services |= owners
        elif file.suffix not in _PROSE:
            beyond.append(name)
    return Changes(ref, frozenset(services), frozenset(experiments), tuple(beyond))


def _changed(ref: str, project: Path) -> list[str]:
    """Relative to the project, which may be a part of its repository."""
    commit = _git(project, ref, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}").strip()
    changed = _git(project, ref, "diff", "--name-only", "--no-renames", "--relative", "-z", commit, "--")
    unknown = _git(project, ref, "ls-files", "--others", "--exclude-standard", "-z")
    return sorted({name for name in (changed + unknown).split("\0") if name})


def _git(project: Path, ref: str, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError(Problem("git is missing: nothing says what changed", "install git", value=ref)) from None
    if done.returncode:
        message = f"git does not say what changed since {ref}: {done.stderr.strip().splitlines()[0]}"
        raise InputError(
            Problem(message, "name a commit, a branch or a tag of this repository", key="--since", value=ref)
        )
    return done.stdout


def commit(project: Path) -> str:
    """The commit that stands here, with a digest of what was changed since; empty where there is none."""
    try:
        found = _git(project, "HEAD", "rev-parse", "HEAD").strip()
        changed = _git(project, "HEAD", "diff", "HEAD", "--binary")
    except InputError:
        return ""
    return f"{found}+{hashlib.sha256(changed.encode()).hexdigest()[:12]}" if changed else found
