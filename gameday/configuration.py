"""The `configuration` of an experiment: where its values come from, and that every `${name}` has one.

The toolkit leaves a name that it does not know as it stands, and takes a source that it does not know for the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from gameday.catalogue import Catalogue
from gameday.control import variable
from gameday.errors import Problem
from gameday.expectations import Strict
from gameday.yamlfile import Location, YamlFile, suggestion

_SOURCES = ("env", "probe")
_NAME = re.compile(r"\$\{([^}:]+)(?::[^}]*)?\}")
_OURS = "GAMEDAY_"


class Env(Strict):
    """A value of the environment."""

    type: Literal["env"]
    key: Annotated[str, Field(min_length=1, strict=True)]
    default: Any = None
    env_var_type: Literal["str", "int", "float", "bytes", "bool", "json"] | None = None


def problems(source: YamlFile, catalogue: Catalogue) -> Iterator[Problem]:
    told = source.data.get("configuration")
    told = told if isinstance(told, dict) else {}
    for name, value in told.items():
        if isinstance(value, dict):
            yield from _source(source, ("configuration", name), value, catalogue)
    secrets = source.data.get("secrets")
    known = {*told, *(secrets if isinstance(secrets, dict) else {})}
    for at, name in _named((), source.data):
        if name not in known:
            yield source.problem(at, f"${{{name}}} has no value", suggestion(name, known), name)


def _source(source: YamlFile, at: Location, value: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Problem]:
    kind = value.get("type")
    if kind == "probe":
        return
    if kind != "env":
        message = f"unknown source of a value {kind!r}" if kind else "a source of a value needs its type"
        place = (*at, "type") if "type" in value else at
        yield source.problem(place, message, suggestion(str(kind or ""), _SOURCES), kind)
        return
    try:
        key = Env.model_validate(value).key
    except ValidationError as error:
        yield from source.explain(error, Env, at)
        return
    exported = [variable(name) for name in catalogue.services]
    if key.startswith(_OURS) and key not in exported and "default" not in value:
        yield source.problem((*at, "key"), f"gameday env exports no {key}", suggestion(key, exported), key)


def _named(at: Location, value: Any) -> Iterator[tuple[Location, str]]:
    """Each `${name}` below `at`, with its place. A message of an extension is nobody's to substitute."""
    if isinstance(value, str):
        yield from ((at, name) for name in _NAME.findall(value))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if at or key != "extensions":
                yield from _named((*at, key), each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _named((*at, index), each)
