"""A YAML file as plain values that remember where they were written.

Scalars are read as Docker's YAML library reads them: `yes` is text, `0777` octal.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gameday.errors import InputError, Problem

# More values than any real file has: an alias of aliases of aliases grows without bound.
MAX_VALUES = 100_000
RESET = "!reset"
OVERRIDE = "!override"

_TAG = "tag:yaml.org,2002:"
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_PREFIXED = re.compile(r"([-+]?)0([xob]?)([0-9a-fA-F_]+)")
_BASES = {"x": 16, "o": 8, "b": 2, "": 8}


@dataclass(frozen=True)
class Mark:
    """Lines and columns count from 1."""

    file: Path
    line: int
    column: int


class Map(dict[str, Any]):
    """A mapping with the place of each key and the compose tag of its value, if any."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: dict[str, Mark] = {}
        self.tags: dict[str, str] = {}

    def put(self, key: str, value: Any, mark: Mark, tag: str | None = None) -> None:
        self[key] = value
        self.marks[key] = mark
        self.tags.pop(key, None)
        if tag:
            self.tags[key] = tag


class Seq(list[Any]):
    """A sequence with the place of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[Mark] = []

    def put(self, value: Any, mark: Mark) -> None:
        self.append(value)
        self.marks.append(mark)


def entries(node: Map) -> Iterator[tuple[str, Any, Mark]]:
    return ((key, value, node.marks[key]) for key, value in node.items())


def items(node: Seq) -> Iterator[tuple[Any, Mark]]:
    return zip(node, node.marks, strict=True)


def locate(tree: Any, path: Iterable[str | int], default: Mark) -> Mark:
    """The place of `path` in `tree`, or of the deepest parent that has one."""
    mark = default
    for step in path:
        if isinstance(tree, Map) and step in tree.marks:
            mark, tree = tree.marks[str(step)], tree[str(step)]
        elif isinstance(tree, Seq) and isinstance(step, int) and step < len(tree):
            mark, tree = tree.marks[step], tree[step]
        else:
            break
    return mark


def at(mark: Mark, message: str, mend: str, path: Sequence[str | int] = (), value: Any = None) -> Problem:
    """A problem at a place, with the dotted path of its key."""
    key = ".".join(map(str, path)) or None
    return Problem(message, mend, mark.file, mark.line, mark.column, key, value)


def read(path: Path) -> list[Map]:
    """Every document of the file. Raises InputError with all that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            Problem(f"cannot read {path}: {error.strerror}", "name a compose file with -f", file=path)
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(Problem(f"{path} is not UTF-8 text: {error.reason}", "save it as UTF-8", file=path)) from error
    return _Builder(path).documents(text)


# A compose file is read once for its timers and once for all the rest; nobody writes into a node.
@lru_cache(maxsize=8)
def _composed(text: str) -> list[Node]:
    # An empty document composes to None.
    return [node for node in YAML(typ="safe", pure=True).compose_all(io.StringIO(text)) if node is not None]


class _Builder:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.values = 0
        self.open: set[int] = set()

    def documents(self, text: str) -> list[Map]:
        found = [self.top(node) for node in self.nodes(text)]
        if self.problems:
            raise InputError(self.problems)
        return [document for document in found if document is not None]

    def nodes(self, text: str) -> list[Node]:
        try:
            with warnings.catch_warnings():
                # YAML 1.2 lets an anchor be set again, and so does Docker.
                warnings.simplefilter("ignore", ReusedAnchorWarning)
                return _composed(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            message = ": ".join(part for part in (error.context, error.problem) if part)
            raise InputError(self._unreadable(message, line, column)) from error
        except (YAMLError, ValueError, RecursionError) as error:
            raise InputError(self._unreadable(str(error).splitlines()[0], None, None)) from error

    def _unreadable(self, message: str, line: int | None, column: int | None) -> Problem:
        return Problem(f"not YAML: {message}", "correct the syntax", self.file, line, column)

    def top(self, node: Node) -> Map | None:
        if isinstance(node, ScalarNode) and self.scalar(node) is None:
            return None
        if not isinstance(node, MappingNode):
            self.complain(node, "a compose file is a mapping", "start it with `services:`")
            return None
        try:
            return self.mapping(node)
        except RecursionError:
            self.complain(node, "nested too deeply", "flatten the file")
            return None

    def value(self, node: Node) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise InputError(self.problem(node, f"more than {MAX_VALUES} values", "use fewer aliases of aliases"))
        if isinstance(node, ScalarNode):
            return self.readable(node, self.scalar(node))
        if id(node) in self.open:
            raise InputError(self.problem(node, "an alias that contains itself", "remove the alias"))
        self.open.add(id(node))
        try:
            return self.sequence(node) if isinstance(node, SequenceNode) else self.mapping(node)
        finally:
            self.open.discard(id(node))

    def sequence(self, node: SequenceNode) -> Seq:
        result = Seq()
        for child in node.value:
            result.put(self.value(child), self.mark(child))
        return result

    def mapping(self, node: Node) -> Map:
        own = Map()
        inherited: list[Map] = []
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                inherited += self.merged(value_node)
                continue
            key = self.key(key_node)
            if key is None:
                continue
            if key in own:
                first = own.marks[key].line
                self.complain(key_node, f"{key!r} stands twice, first in line {first}", "keep one of them", key)
            tag = value_node.tag if value_node.tag in (RESET, OVERRIDE) else None
            own.put(key, self.value(value_node), self.mark(key_node), tag)
        for parent in inherited:
            for key, value, mark in entries(parent):
                if key not in own:
                    own.put(key, value, mark, parent.tags.get(key))
        return own

    def merged(self, node: Node) -> list[Map]:
        """What `<<` brings: one mapping, or several of which the first wins."""
        value = self.value(node)
        found = list(value) if isinstance(value, Seq) else [value]
        maps = [each for each in found if isinstance(each, Map)]
        if len(maps) != len(found):
            self.complain(node, "`<<` takes a mapping or a list of mappings", "point it at a mapping", "<<")
        return maps

    def key(self, node: Node) -> str | None:
        if isinstance(node, ScalarNode):
            return str(self.readable(node, node.value))
        self.complain(node, "a key must be text", "write the key as text")
        return None

    def readable(self, node: Node, value: Any) -> Any:
        """`value`, with a pair of JSON's escapes as the one character that it means."""
        if not isinstance(value, str) or (value.isascii() and "\0" not in value):
            return value
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if "\0" in whole:
            self.complain(node, "a NUL character, which neither a path nor an environment can hold", "remove it")
        return whole.replace("\0", "")

    def scalar(self, node: ScalarNode) -> Any:
        tag = (node.tag or "").removeprefix(_TAG)
        text = node.value
        if tag == "null" or (tag == RESET and text in ("", "null", "~")):
            return None
        if tag == "bool":
            return text.lower() == "true"
        if tag == "int":
            return _integer(text)
        if tag == "float":
            return _number(text)
        return text

    def mark(self, node: Node) -> Mark:
        return Mark(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def problem(self, node: Node, message: str, mend: str, key: str | None = None) -> Problem:
        return at(self.mark(node), message, mend, (key,) if key else ())

    def complain(self, node: Node, message: str, mend: str, key: str | None = None) -> None:
        self.problems.append(self.problem(node, message, mend, key))


def _integer(text: str) -> int | str:
    if _DECIMAL.fullmatch(text):
        return int(text)
    match = _PREFIXED.fullmatch(text)
    if not match:
        return text
    try:
        return int(match[1] + match[3].replace("_", ""), _BASES[match[2]])
    except ValueError:
        # 089 is no octal number: Docker keeps the text.
        return text


def _number(text: str) -> float | str:
    try:
        return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text


def text_of(value: Any) -> str:
    """A scalar as it reaches an environment: `true`, `5`, `1.5`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:  # noqa: PLR2004 - where Go turns to exponents
        return str(int(value))
    return str(value)
