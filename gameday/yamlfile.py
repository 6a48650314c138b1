"""A YAML file that remembers where each of its values stands."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from gameday.errors import InputError, Problem

Location = Sequence[str | int]


# A load profile is read for each of its experiments, and nobody writes into what was read.
@lru_cache(maxsize=32)
def _parsed(text: str) -> Any:
    return YAML(typ="rt").load(text)


def _all_parsed(text: str) -> list[Any]:
    return [tree for tree in YAML(typ="rt").load_all(text) if tree is not None]


@dataclass(frozen=True)
class YamlFile:
    """`data` is plain (dicts, lists, scalars); `tree` is the same with line numbers."""

    path: Path
    data: dict[str, Any]
    tree: CommentedMap

    @classmethod
    def read(cls, path: Path) -> YamlFile:
        """Raises InputError where the file is missing, is no YAML, or is no mapping."""
        return cls._of(path, _loaded(path, _parsed))

    @classmethod
    def documents(cls, path: Path) -> list[YamlFile]:
        """Each document of a file that holds several. Raises InputError as `read` does, and where there is none."""
        return [cls._of(path, tree) for tree in _loaded(path, _all_parsed) or [None]]

    @classmethod
    def _of(cls, path: Path, tree: Any) -> YamlFile:
        if not isinstance(tree, CommentedMap):
            raise InputError(Problem("holds no mapping", "write keys and values", file=path, line=1))
        return cls(path, _plain(tree), tree)

    def position(self, location: Location) -> tuple[int | None, int | None]:
        """Line and column, from 1, of the deepest part of `location` that exists: the file's beginning if none does."""
        node: Any = self.tree
        position: tuple[int | None, int | None] = (1, 1) if location else (None, None)
        for part in location:
            try:
                line, column = node.lc.item(part) if isinstance(node, CommentedSeq) else node.lc.key(part)
                node = node[part]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
            position = (line + 1, column + 1)
        return position

    def line(self, location: Location) -> int | None:
        return self.position(location)[0]

    def problem(self, location: Location, message: str, mend: str, value: Any = None) -> Problem:
        line, column = self.position(location)
        return Problem(message, mend, self.path, line, column, dotted(location), value)

    def validate(self, model: type[BaseModel], data: Any, at: Location = ()) -> Any:
        """`data`, which stands at `at`, as a `model`. Raises InputError with every problem."""
        try:
            return model.model_validate(data)
        except ValidationError as error:
            raise InputError(self.explain(error, model, at)) from None

    def explain(self, error: ValidationError, model: type[BaseModel], at: Location = ()) -> list[Problem]:
        found = error.errors()
        return [self._explain(each, model, at) for each in found if not _follows(each, found)]

    def _explain(self, error: ErrorDetails, model: type[BaseModel], at: Location) -> Problem:
        # pydantic says "[key]" where the key of a mapping is wrong.
        location = (*at, *(part for part in error["loc"] if part != "[key]"))
        name = str(location[-1]) if location else ""
        if error["type"] == "extra_forbidden":
            known = known_keys(model, error["loc"][:-1])
            return self.problem(location, f"unknown key {name!r}", suggestion(name, known), _short(error["input"]))
        if error["type"] == "missing":
            return self.problem(location, f"the key {name!r} is missing", f"add {name}")
        message = error["msg"].removeprefix("Value error, ")
        return self.problem(location, message, f"correct {name}" if name else "correct it", _short(error["input"]))


def _loaded(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text())
    except OSError as error:
        raise InputError(Problem(f"cannot read: {error.strerror}", "name a file that exists", file=path)) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(_unreadable(path, error)) from None


def _follows(error: ErrorDetails, found: Sequence[ErrorDetails]) -> bool:
    """Whether a list is only too short because its entries are wrong."""
    depth = len(error["loc"])
    return error["type"] == "too_short" and any(
        len(each["loc"]) > depth and each["loc"][:depth] == error["loc"] for each in found
    )


def dotted(location: Location) -> str:
    """("method", 0, "name") -> `method[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def suggestion(name: str, known: Iterable[str]) -> str:
    """The mend for a name that is not among `known`: the nearest ones, else all."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"use one of {', '.join(names)}" if names else "remove it: there is none to name"


def known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that `model` takes at `location` inside it."""
    annotation: Any = model
    for part in location:
        inner = _model_in(annotation)
        if get_origin(annotation) in (tuple, list, dict) or inner is None:
            annotation = inner
        else:
            fields = _fields(inner)
            annotation = fields.get(str(part))
    found = _model_in(annotation)
    return sorted(_fields(found)) if found else []


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `tuple[Model, ...]`, `Model | None` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _model_in(argument):
            return found
    return None


def _unreadable(path: Path, error: Exception) -> Problem:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    message = (error.problem if isinstance(error, MarkedYAMLError) else None) or str(error)
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return Problem(f"is not YAML: {message}", "correct the syntax", path, line, column)


def _plain(node: Any) -> Any:
    """ruamel's own types become those of Python; keys become strings."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _short(value: Any) -> Any:
    return None if isinstance(value, Mapping | list) else value
