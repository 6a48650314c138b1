"""Several compose files as one document: interpolated, checked, extended, included, merged."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gameday.catalogue import document, envfile, schema
from gameday.catalogue.document import Map, Mark, Seq, at, entries, items
from gameday.catalogue.interpolation import BadTemplate, substitute
from gameday.catalogue.merge import canonical, merge, settled
from gameday.errors import InputError, Problem

_RESOURCES = ("services", "networks", "volumes", "secrets", "configs", "models")


@dataclass
class Project:
    """`bases` says, for each file read, against which directory its relative paths stand."""

    document: Map = field(default_factory=Map)
    bases: dict[Path, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def path(self, text: str, mark: Mark) -> Path:
        """A path as written at `mark`, made absolute; links stay as they are."""
        base = self.bases.get(mark.file, mark.file.parent)
        return Path(os.path.abspath(base / os.path.expanduser(text)))  # noqa: PTH100, PTH111 - these never raise


def read(files: Sequence[Path], directory: Path, variables: Mapping[str, str]) -> Project:
    """Everything that `files` say; what is wrong with them stands in `problems`."""
    project = Project()
    reader = _Reader(project, variables)
    for file in files:
        project.document = merge(project.document, reader.file(file, directory))
    project.document = settled(project.document)
    return project


class _Reader:
    """Reads files under one set of variables; `trail` holds the files that include this one."""

    def __init__(self, project: Project, variables: Mapping[str, str], trail: tuple[Path, ...] = ()) -> None:
        self.project = project
        self.variables = variables
        self.trail = trail
        self.plain: dict[Path, Map] = {}

    def file(self, path: Path, base: Path) -> Map:
        result = self.unextended(path, base)
        services = result.get("services")
        if isinstance(services, Map):
            for name in list(services):
                services[name] = self.extended(path, services, name, ())
        return self.included(result, base)

    def unextended(self, path: Path, base: Path) -> Map:
        """One file before `extends` and `include`; read once."""
        if path in self.plain:
            return self.plain[path]
        self.project.bases.setdefault(path, base)
        result = Map()
        try:
            for each in document.read(path):
                result = merge(result, self.checked(each, path))
        except InputError as error:
            self.project.problems += error.problems
        self.plain[path] = result
        return result

    def checked(self, raw: Map, path: Path) -> Map:
        start = Mark(path, 1, 1)
        tree: Map = self.interpolated(raw, [], start)
        self.project.problems += schema.problems(tree, start)
        return canonical(tree)

    def interpolated(self, value: Any, path: list[str | int], mark: Mark) -> Any:
        if isinstance(value, Map):
            mapping = Map()
            for key, child, place in entries(value):
                mapping.put(key, self.interpolated(child, [*path, key], place), place, value.tags.get(key))
            return mapping
        if isinstance(value, Seq):
            listed = Seq()
            for index, (child, place) in enumerate(items(value)):
                listed.put(self.interpolated(child, [*path, index], place), place)
            return listed
        return self.text(value, path, mark) if isinstance(value, str) else value

    def text(self, value: str, path: list[str | int], mark: Mark) -> str:
        try:
            return substitute(value, self.variables)
        except BadTemplate as error:
            self.project.problems.append(at(mark, str(error), error.mend, path, value))
            return value

    def extended(self, file: Path, services: Map, name: str, trail: tuple[tuple[Path, str], ...]) -> Any:
        """The service laid over what it extends, however far that goes."""
        service = services[name]
        if not isinstance(service, Map) or service.get("extends") is None:
            return service
        target = self.parent(file, name, service)
        path = ["services", name, "extends"]
        if target is None:
            return service
        parent_file, parent = target
        if target in (*trail, (file, name)):
            self.complain(service, path, f"{name!r} extends itself", "remove one `extends` of the circle", parent)
            return service
        pool = self.unextended(parent_file, parent_file.parent).get("services")
        if not isinstance(pool, Map) or not isinstance(pool.get(parent), Map):
            mend = f"name a service of {parent_file.name}"
            self.complain(service, path, f"extends {parent!r}, which {parent_file.name} does not have", mend, parent)
            return service
        base = self.extended(parent_file, pool, parent, (*trail, (file, name)))
        result = merge(base, service)
        result.pop("extends", None)
        return result

    def parent(self, file: Path, name: str, service: Map) -> tuple[Path, str] | None:
        extends, mark = service["extends"], service.marks["extends"]
        if isinstance(extends, str):
            return file, extends
        if not isinstance(extends, Map) or not isinstance(extends.get("service"), str):
            return None
        if not isinstance(extends.get("file"), str):
            return file, extends["service"]
        path = self.project.path(extends["file"], mark)
        if not path.is_file():
            mend = "name a file that exists; it is looked for beside the compose file"
            self.complain(service, ["services", name, "extends"], f"no file {path}", mend, extends["file"])
            return None
        return path, extends["service"]

    def complain(self, service: Map, path: Sequence[str | int], message: str, mend: str, value: Any) -> None:
        self.project.problems.append(at(service.marks["extends"], message, mend, path, value))

    def included(self, tree: Map, base: Path) -> Map:
        listed = tree.pop("include", None)
        if isinstance(listed, Seq):
            for index, (entry, mark) in enumerate(items(listed)):
                self.include(tree, base, entry, mark, ["include", index])
        return tree

    def include(self, tree: Map, base: Path, entry: Any, mark: Mark, path: list[str | int]) -> None:
        paths = _texts(entry.get("path") if isinstance(entry, Map) else entry)
        if not paths:
            return
        files = [(base / each).resolve() for each in paths]
        if missing := [each for each in files if not each.is_file()]:
            self.project.problems.append(at(mark, f"no file {missing[0]}", "name a file that exists", path, paths[0]))
            return
        if files[0] in self.trail:
            self.project.problems.append(at(mark, f"{files[0].name} includes itself", "drop it", path, paths[0]))
            return
        keys = entry if isinstance(entry, Map) else {}
        directory = base / keys["project_directory"] if keys.get("project_directory") else files[0].parent
        env_files = [base / each for each in _texts(keys.get("env_file"))] or [directory / ".env"]
        reader = _Reader(self.project, self.with_env(env_files), (*self.trail, *files))
        found = Map()
        for file in files:
            found = merge(found, reader.file(file, directory.resolve()))
        self.adopt(tree, found, mark, path)

    def with_env(self, files: list[Path]) -> Mapping[str, str]:
        """The variables for an included file: what is set outside wins."""
        values: dict[str, str] = {}
        for file in files:
            if file.is_file():
                try:
                    values |= envfile.read(file, self.variables)
                except InputError as error:
                    self.project.problems += error.problems
        return ChainMap(dict(self.variables), values)

    def adopt(self, tree: Map, found: Map, mark: Mark, path: list[str | int]) -> None:
        for section in _RESOURCES:
            theirs = found.get(section)
            if not isinstance(theirs, Map):
                continue
            if not isinstance(tree.get(section), Map):
                tree.put(section, Map(), found.marks[section])
            ours = tree[section]
            for name, value, place in entries(theirs):
                if name in ours and ours[name] != value:
                    message = f"{section}.{name} stands here and in {place.file.name}:{place.line}"
                    self.project.problems.append(at(mark, message, "rename one of them", path, name))
                else:
                    ours.put(name, value, place)


def _texts(value: Any) -> list[str]:
    found = value if isinstance(value, list) else [value]
    return [each for each in found if isinstance(each, str)]
