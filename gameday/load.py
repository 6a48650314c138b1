"""Load profiles: who sends what, at which rate, with which thresholds. `loadtests/profiles/*.yaml`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from gameday.catalogue import Catalogue
from gameday.errors import InputError, Problem
from gameday.expectations import Duration, Route, Strict, Threshold
from gameday.yamlfile import YamlFile, suggestion

DIRECTORY = Path("loadtests")
_PARSE_ATTEMPTS = 5


class Arrivals(Strict):
    """Users of one class, of whom `rate` arrive each second, whatever the system does."""

    user: str = Field(pattern=r"^[\w./-]+\.py:\w+$", description="File under loadtests/users, and the class in it")
    rate: float = Field(gt=0, le=5000, strict=False, description="Arrivals per second")

    @property
    def file(self) -> str:
        return self.user.rpartition(":")[0]

    @property
    def cls(self) -> str:
        return self.user.rpartition(":")[2]


class Profile(Strict):
    """`duration` is that of a load run; in an experiment the windows decide.

    A request without an answer after `timeout` failed.
    """

    title: str = Field(min_length=1)
    users: tuple[Arrivals, ...] = Field(min_length=1, strict=False)
    routes: dict[Route, Threshold] = Field(min_length=1)
    duration: Duration = 20.0
    timeout: Duration = 10.0
    gate: bool = Field(default=False, description="Part of `gameday gate`")
    target: str | None = Field(default=None, description="A service; default: x-gameday.entry")


@dataclass(frozen=True)
class Load:
    """A profile with the place it came from."""

    name: str
    profile: Profile
    source: YamlFile

    @property
    def users(self) -> Path:
        """The directory that `user` names files of."""
        return self.source.path.parent.parent / "users"

    def target(self, catalogue: Catalogue) -> str:
        """The service that gets the load. Checked by `problems`."""
        return self.profile.target or catalogue.entry or ""


def names(project: Path) -> list[str]:
    return sorted(path.stem for path in (project / DIRECTORY / "profiles").glob("*.yaml"))


def read(name: str, catalogue: Catalogue) -> Load:
    """Raises InputError with everything that is wrong with the profile."""
    known = names(catalogue.directory)
    if name not in known:
        raise InputError(Problem(f"unknown load profile {name!r}", suggestion(name, known), value=name))
    source = YamlFile.read(catalogue.directory / DIRECTORY / "profiles" / f"{name}.yaml")
    load = Load(name, source.validate(Profile, source.data), source)
    if problems := list(_problems(load, catalogue)):
        raise InputError(problems)
    return load


def _problems(load: Load, catalogue: Catalogue) -> Iterator[Problem]:
    target = load.target(catalogue)
    if target not in catalogue.services:
        message = f"unknown service {target!r}" if target else "no service to send the load to"
        yield load.source.problem(("target",), message, suggestion(target, catalogue.services), target or None)
    for index, arrivals in enumerate(load.profile.users):
        at = ("users", index, "user")
        path = load.users / arrivals.file
        if not path.is_file():
            files = (str(each.relative_to(load.users)) for each in load.users.rglob("*.py"))
            yield load.source.problem(at, f"no file {path}", suggestion(arrivals.file, files), arrivals.user)
        elif arrivals.cls not in (classes := _classes(path)):
            mend = suggestion(arrivals.cls, classes)
            yield load.source.problem(at, f"no class {arrivals.cls} in {arrivals.file}", mend, arrivals.user)


def _classes(path: Path) -> list[str]:
    """The classes of a file, which is read and not run."""
    try:
        tree = _parsed(path.read_text())
    except SyntaxError:
        return []
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def _parsed(text: str) -> ast.Module:
    """Until Python 3.13 two threads that parse at once can make one fail (python/cpython, issue 106905)."""
    for _ in range(_PARSE_ATTEMPTS - 1):
        try:
            return ast.parse(text)
        except SystemError:
            continue
    return ast.parse(text)
