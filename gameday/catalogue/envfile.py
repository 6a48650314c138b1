"""`.env` and `env_file`: KEY=VALUE lines."""

from __future__ import annotations

import io
from collections import ChainMap
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from gameday.catalogue.interpolation import BadTemplate, substitute
from gameday.errors import InputError, Problem


def read(path: Path, variables: Mapping[str, str], *, raw: bool = False) -> dict[str, str]:
    """The file's variables in order. A bare KEY is taken from `variables`, or left out.

    `raw` takes values as they stand, without quotes, comments and `${...}`.
    Raises InputError, with every line that cannot be read.
    """
    text = _text(path)
    return _raw(text) if raw else _interpolated(path, text, variables)


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            Problem(f"cannot read {path}: {error.strerror}", "create the file or drop its entry", file=path)
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(Problem(f"{path} is not UTF-8 text: {error.reason}", "save it as UTF-8", file=path)) from error
    if "\0" in text:
        raise InputError(Problem(f"{path} holds a NUL character", "remove it", file=path))
    return text


def _raw(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    pairs = (line.partition("=") for line in lines)
    return {key.strip(): value for key, separator, value in pairs if separator}


def _interpolated(path: Path, text: str, variables: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for binding in _bindings(text):
        if binding.key is None or binding.error:
            problems.append(_unreadable(path, binding))
            continue
        try:
            value = _value(binding.key, binding, ChainMap(values, dict(variables)))
        except BadTemplate as error:
            problems.append(Problem(str(error), error.mend, path, binding.original.line, key=binding.key))
            continue
        if value is not None:
            values[binding.key] = value
    if problems:
        raise InputError(problems)
    return values


def _bindings(text: str) -> Iterator[Binding]:
    """Every statement; comments and blank lines are parsed as neither key nor error."""
    return (binding for binding in parse_stream(io.StringIO(text)) if binding.key is not None or binding.error)


def _value(key: str, binding: Binding, variables: Mapping[str, str]) -> str | None:
    if binding.value is None:
        return variables.get(key)
    written = binding.original.string.partition("=")[2].lstrip()
    if written.startswith("'"):
        return binding.value
    return substitute(binding.value, variables)


def _unreadable(path: Path, binding: Binding) -> Problem:
    line = binding.original.string.strip()
    return Problem("not a KEY=VALUE line", "write KEY=VALUE", path, binding.original.line, value=line)
