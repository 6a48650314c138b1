"""The compose specification's JSON Schema, and what it says of a file in a person's words."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from gameday.catalogue.document import RESET, Map, Mark, Seq, at, locate, text_of
from gameday.errors import GamedayError, Problem

_UNKNOWN_KEY = ("additionalProperties", "unevaluatedProperties")
_DURATIONS = {
    "interval",
    "timeout",
    "start_period",
    "start_interval",
    "stop_grace_period",
    "delay",
    "monitor",
    "window",
}
_NAMES = {
    "string": "text",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


@cache
def _specification() -> dict[str, Any]:
    """From check-jsonschema's file: to import the package, and its HTTP client, takes longer than all the rest."""
    package = find_spec("check_jsonschema")
    if package is None or package.origin is None:
        raise GamedayError("the package check-jsonschema, which holds the compose specification, is not installed")
    file = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema: dict[str, Any] = json.loads(file.read_text())
    return schema


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(_specification())


def problems(document: Map, start: Mark) -> list[Problem]:
    """What is wrong with one interpolated file; `start` is its first line."""
    # `version` says nothing any more, and old files write it as a number.
    tree = {key: value for key, value in _without_resets(document).items() if key != "version"}
    found = [problem for error in _validator().iter_errors(tree) for problem in _explain(error, [], document, start)]
    return list(dict.fromkeys(found))


def _without_resets(value: Any) -> Any:
    """`!reset` takes a key away whatever stands there: no type is wrong."""
    if isinstance(value, Map):
        return {key: _without_resets(child) for key, child in value.items() if value.tags.get(key) != RESET}
    if isinstance(value, Seq):
        return [_without_resets(child) for child in value]
    return value


def _explain(error: ValidationError, prefix: list[str | int], document: Map, start: Mark) -> Iterator[Problem]:
    path = prefix + list(error.relative_path) if prefix else list(error.absolute_path)
    if error.validator in _UNKNOWN_KEY:
        yield from _unknown_keys(error, path, document, start)
    elif error.validator in ("oneOf", "anyOf") and (inner := _deepest(error)):
        yield from _explain(inner, path, document, start)
    else:
        message, mend = _words(error, str(path[-1]) if path else "")
        value = error.instance if isinstance(error.instance, str | int | float | None) else None
        yield at(locate(document, path, start), message, mend, path, value)


def _deepest(error: ValidationError) -> ValidationError | None:
    """The branch that the writer meant: the one that agrees on the type and fails further in."""
    inner = [each for each in error.context or () if each.validator != "type" or each.relative_path]
    return best_match(iter(inner)) if inner else None


def _unknown_keys(error: ValidationError, path: list[str | int], document: Map, start: Mark) -> Iterator[Problem]:
    if not isinstance(error.instance, Mapping):
        return
    known, patterns = _allowed(error.schema)
    for key in error.instance:
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        near = difflib.get_close_matches(key, known, n=1)
        mend = f"did you mean {near[0]!r}?" if near else _alternatives(known, patterns)
        yield at(locate(document, [*path, key], start), f"unknown key {key!r}", mend, [*path, key])


def _alternatives(known: set[str], patterns: set[str]) -> str:
    if known:
        return f"remove it; known are {', '.join(sorted(known))}"
    return f"use a name that matches {' or '.join(sorted(patterns))}"


def _allowed(schema: Any) -> tuple[set[str], set[str]]:
    """Every key, and every pattern of keys, that a schema and what it refers to allow."""
    known: set[str] = set(schema.get("properties", ()))
    patterns: set[str] = set(schema.get("patternProperties", ()))
    parts = list(schema.get("allOf", ()))
    if reference := schema.get("$ref"):
        parts.append(_specification()["$defs"][reference.rsplit("/", 1)[1]])
    for part in parts:
        more, wider = _allowed(part)
        known |= more
        patterns |= wider
    return known, patterns


def _words(error: ValidationError, key: str) -> tuple[str, str]:
    if error.validator == "type" or (error.validator in ("oneOf", "anyOf") and error.context):
        return _type_words(error, key)
    if error.validator == "required":
        return error.message, "add the key"
    if error.validator == "uniqueItems":
        return "the list holds an entry twice", "remove the second one"
    return error.message, f"satisfy {error.validator}: {error.validator_value}"


def _type_words(error: ValidationError, key: str) -> tuple[str, str]:
    wanted: list[str] = []
    for each in (error, *(error.context or ())):
        if each.validator == "type":
            types = each.validator_value
            wanted += [types] if isinstance(types, str) else types
    names = " or ".join(_NAMES.get(name, name) for name in dict.fromkeys(wanted))
    mend = f"write {names}"
    if "string" in wanted and isinstance(error.instance, int | float):
        mend = "write a duration such as 5s" if key in _DURATIONS else f'quote it: "{text_of(error.instance)}"'
    return f"must be {names}, is {_kind(error.instance)}", mend


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "text" if isinstance(value, str) else "a number"
