"""Experiment files: stock Chaos Toolkit, read strictly, with what gameday expects on top.

The toolkit itself ignores a misspelt key and a control that it cannot load; here
both are problems. All problems are found at once, before anything is started.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from gameday import alerts as alerting
from gameday import configuration, dashboards, load
from gameday.catalogue import Catalogue
from gameday.durations import Bound, seconds, text
from gameday.errors import InputError, Problem
from gameday.expectations import Extension, Strict
from gameday.faults import registry
from gameday.yamlfile import Location, YamlFile, suggestion

DIRECTORY = Path("experiments")
ACTIVITIES = "gameday.activities"

_PROBES = ("steady-state-hypothesis", "probes")

Text = Annotated[str, Field(min_length=1)]
# Seconds, for the connection and the answer alike or each; or a name that the configuration knows.
Timeout = (
    Annotated[float, Field(gt=0)]
    | Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)]
    | Annotated[str, Field(pattern=r"^\$\{.+\}$")]
    | None
)


class Python(Strict):
    type: Literal["python"]
    module: Text
    func: Text
    arguments: dict[str, Any] = Field(default_factory=dict)
    secrets: list[str] = Field(default_factory=list)


class Http(Strict):
    type: Literal["http"]
    url: Text
    method: str = "GET"
    headers: dict[str, Any] = Field(default_factory=dict)
    arguments: Any = None
    timeout: Timeout = None
    expected_status: int | None = None
    verify_tls: bool = True
    max_retries: int = 0
    secrets: list[str] = Field(default_factory=list)


class Process(Strict):
    type: Literal["process"]
    path: Text
    arguments: Any = None
    timeout: Timeout = None
    env: dict[str, Any] = Field(default_factory=dict)
    secrets: list[str] = Field(default_factory=list)


PROVIDERS: Mapping[str, type[Strict]] = {"python": Python, "http": Http, "process": Process}


class ControlProvider(Strict):
    type: Literal["python"]
    module: Text
    arguments: dict[str, Any] = Field(default_factory=dict)
    secrets: list[str] = Field(default_factory=list)


class Control(Strict):
    name: Text
    provider: ControlProvider
    scope: Literal["before", "after"] | None = None
    automatic: bool = True


class Activity(Strict):
    type: Literal["probe", "action"]
    name: Text
    provider: dict[str, Any]
    tolerance: Any = None
    background: bool = False
    pauses: dict[str, Any] = Field(default_factory=dict)
    controls: list[Control] = Field(default_factory=list)
    configuration: dict[str, Any] = Field(default_factory=dict)
    secrets: Any = None
    timeout: Any = None


class Hypothesis(Strict):
    title: Text
    probes: list[Activity]
    controls: list[Control] = Field(default_factory=list)


class Toolkit(Strict):
    """The keys that the Chaos Toolkit reads. `dry` is not among them: a dry run proves nothing."""

    title: Text
    description: Text
    version: Any = None
    tags: list[str] = Field(default_factory=list)
    configuration: dict[str, Any] = Field(default_factory=dict)
    secrets: dict[str, Any] = Field(default_factory=dict)
    contributions: dict[str, Any] = Field(default_factory=dict)
    controls: list[Control] = Field(default_factory=list)
    runtime: dict[str, Any] = Field(default_factory=dict)
    hypothesis: Hypothesis | None = Field(default=None, alias="steady-state-hypothesis")
    method: list[Activity] = Field(min_length=1)
    rollbacks: list[Activity] = Field(min_length=1)
    extensions: list[dict[str, Any]] = Field(min_length=1)


@dataclass(frozen=True)
class Experiment:
    """`name` is the file's name without its ending; `lines` tells where each expectation stands."""

    name: str
    title: str
    source: YamlFile
    extension: Extension
    load: load.Load
    expect: Mapping[str, Any]
    lines: Mapping[str, int]


def files(project: Path) -> list[Path]:
    return sorted((project / DIRECTORY).glob("*.yaml"))


def read(path: Path, catalogue: Catalogue) -> Experiment:
    """Raises InputError with everything that is wrong. Starts nothing."""
    source = YamlFile.read(path)
    problems = [*_invalid(source, Toolkit, source.data, ())]
    problems += _activities(source, catalogue)
    problems += _controls(source)
    problems += configuration.problems(source, catalogue)
    at = _extension_at(source)
    if at is None:
        message = "no extension called gameday: nothing would be judged"
        problems.append(source.problem(("extensions",), message, "add {name: gameday, load: ..., expect: ...}"))
        raise InputError(problems)
    entry = source.data["extensions"][at[1]]
    problems += _invalid(source, Extension, entry, at)
    profile = _profile(source, (*at, "load"), entry.get("load"), catalogue, problems)
    problems += _names(source, (*at, "expect"), entry.get("expect"), profile, catalogue)
    if problems or profile is None:
        raise InputError(sorted(problems, key=lambda problem: problem.line or 0))
    expect = entry["expect"]
    lines = _lines(source, at, expect)
    extension = Extension.model_validate(entry)
    return Experiment(path.stem, source.data["title"], source, extension, profile, expect, lines)


def check(paths: Iterable[Path], catalogue: Catalogue) -> list[Experiment]:
    """All of `paths`. Raises one InputError with the problems of all of them."""
    experiments: list[Experiment] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            experiments.append(read(path, catalogue))
        except InputError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise InputError(problems)
    return experiments


def schema() -> dict[str, Any]:
    """The JSON Schema of experiment files, for editors."""
    found = Toolkit.model_json_schema(by_alias=True)
    extension = Extension.model_json_schema(by_alias=True)
    providers = {name: model.model_json_schema() for name, model in PROVIDERS.items()}
    found["$defs"] |= (
        extension.pop("$defs")
        | {"Extension": extension}
        | {f"{name.title()}Provider": each for name, each in providers.items()}
    )
    found["$defs"]["Activity"]["properties"]["provider"] = {
        "oneOf": [{"$ref": f"#/$defs/{name.title()}Provider"} for name in providers]
    }
    found["properties"]["extensions"]["items"] = {
        "if": {"properties": {"name": {"const": "gameday"}}},
        "then": {"$ref": "#/$defs/Extension"},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "Experiment"}


def _invalid(source: YamlFile, model: type[Strict], data: Any, at: Location) -> list[Problem]:
    try:
        model.model_validate(data)
    except ValidationError as error:
        return source.explain(error, model, at)
    return []


def _entries(source: YamlFile, *keys: str) -> Iterator[tuple[Location, dict[str, Any]]]:
    """The mappings of the list at `keys`, each with its place, whatever else may be wrong."""
    node: Any = source.data
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return _mappings(node, keys)


def _mappings(node: Any, at: Location) -> Iterator[tuple[Location, dict[str, Any]]]:
    for index, entry in enumerate(node if isinstance(node, list) else ()):
        if isinstance(entry, dict):
            yield (*at, index), entry


def _activities(source: YamlFile, catalogue: Catalogue) -> Iterator[Problem]:
    """What is wrong with the activities that are well formed; `Toolkit` tells of the others."""
    for keys in (("method",), ("rollbacks",), _PROBES):
        for at, entry in _entries(source, *keys):
            if not _invalid(source, Activity, entry, at):
                yield from _activity(source, at, Activity.model_validate(entry), catalogue)
    yield from _shape(source)
    for at, entry in _entries(source, *_PROBES):
        if "tolerance" not in entry:
            yield source.problem(at, "a probe without a tolerance", "add tolerance: 200, or what holds")
        else:
            yield from _tolerance(source, (*at, "tolerance"), entry["tolerance"])


def _tolerance(source: YamlFile, at: Location, tolerance: Any) -> Iterator[Problem]:
    from chaoslib.exceptions import InvalidActivity
    from chaoslib.hypothesis import ensure_hypothesis_tolerance_is_valid

    try:
        ensure_hypothesis_tolerance_is_valid(tolerance)
    except InvalidActivity as error:
        mend = "write a value, a list of values, or one of type regex, jsonpath, range or probe"
        yield source.problem(at, str(error), mend, tolerance)


def _shape(source: YamlFile) -> Iterator[Problem]:
    """A fault that nothing holds or undoes is what the toolkit would be green over."""
    method = [_gameday(entry) for _, entry in _entries(source, "method")]
    if "inject" not in method:
        return
    if "hold" not in method[method.index("inject") :]:
        mend = f"add an action with module {ACTIVITIES}, func hold, after the inject"
        yield source.problem(("method",), "nothing holds the fault: the method would end at once", mend)
    if "undo" not in [_gameday(entry) for _, entry in _entries(source, "rollbacks")]:
        mend = f"add rollbacks with an action with module {ACTIVITIES}, func undo"
        yield source.problem(("rollbacks",), "nothing undoes the fault", mend)


def _gameday(activity: Mapping[str, Any]) -> str | None:
    """The name of our own activity; None for anybody else's."""
    provider = activity.get("provider")
    if not isinstance(provider, dict) or provider.get("module") != ACTIVITIES:
        return None
    return str(provider.get("func"))


def _activity(source: YamlFile, at: Location, activity: Activity, catalogue: Catalogue) -> Iterator[Problem]:
    where = (*at, "provider")
    kind = activity.provider.get("type")
    model = PROVIDERS.get(str(kind))
    if model is None:
        yield source.problem(
            (*where, "type"), f"unknown provider type {kind!r}", suggestion(str(kind), PROVIDERS), kind
        )
        return
    try:
        provider = model.model_validate(activity.provider)
    except ValidationError as error:
        yield from source.explain(error, model, where)
        return
    if isinstance(provider, Python):
        yield from _call(source, where, provider)
        arguments = (*where, "arguments")
        if (provider.module, provider.func) == (ACTIVITIES, "inject"):
            yield from _fault(source, arguments, provider.arguments, catalogue)
            yield from _duration(source, (*arguments, "lease"), provider.arguments.get("lease"))
        elif (provider.module, provider.func) == (ACTIVITIES, "hold"):
            yield from _duration(source, (*arguments, "limit"), provider.arguments.get("limit"))


def _call(source: YamlFile, at: Location, provider: Python) -> Iterator[Problem]:
    """Does the function exist, and does it take the arguments?"""
    try:
        module = _import(provider.module)
    except ImportError as error:
        yield source.problem((*at, "module"), str(error), "install it, or correct the name", provider.module)
        return
    function = getattr(module, provider.func, None)
    if not callable(function):
        known = [name for name, _ in inspect.getmembers(module, inspect.isfunction) if not name.startswith("_")]
        message = f"{provider.module} has no function {provider.func!r}"
        yield source.problem((*at, "func"), message, suggestion(provider.func, known), provider.func)
        return
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in provider.arguments.keys() - parameters.keys():
        mend = suggestion(name, parameters)
        yield source.problem((*at, "arguments", name), f"{provider.func} takes no argument {name!r}", mend)
    given = {*provider.arguments, "configuration", "secrets"}
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            yield source.problem((*at, "arguments"), f"{provider.func} needs the argument {name!r}", f"add {name}")


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"cannot import {name}: {error}") from error
    except Exception as error:  # a module may raise anything while it is imported
        raise ImportError(f"importing {name} raised {type(error).__name__}: {error}") from error


def _fault(source: YamlFile, at: Location, arguments: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Problem]:
    name, target, given = (arguments.get(key) for key in ("fault", "target", "arguments"))
    wrong = [
        source.problem((*at, key), f"{key} has to be {what}", f"correct {key}", arguments[key])
        for key, kind, what in (("fault", str, "a name"), ("target", str, "a name"), ("arguments", dict, "a mapping"))
        if key in arguments and not isinstance(arguments[key], kind)
    ]
    yield from wrong
    if wrong or name is None or target is None or "${" in f"{name}{target}":
        return
    if name not in registry.FAULTS and target not in catalogue.services and not catalogue.find(target):
        known = [*catalogue.services, *(edge.name for edge in catalogue.edges)]
        yield source.problem((*at, "target"), f"no such target {target!r}", suggestion(target, known), target)
    for problem in registry.problems(name, target, given or {}, catalogue):
        key = tuple((problem.key or "arguments").split("."))
        yield source.problem((*at, *key), problem.message, problem.mend, problem.value)


def _duration(source: YamlFile, at: Location, duration: Any) -> Iterator[Problem]:
    if duration is None or "${" in str(duration):
        return
    try:
        if not seconds(str(duration)):
            yield source.problem(at, "it would be over at once", "write a longer duration", duration)
    except ValueError as error:
        yield source.problem(at, str(error), "write a duration with its unit", duration)


def _controls(source: YamlFile) -> Iterator[Problem]:
    """The toolkit logs a control that it cannot import, and goes on without it."""
    holders: list[tuple[Location, Any]] = [((), source.data)]
    holders.append((("steady-state-hypothesis",), source.data.get("steady-state-hypothesis")))
    for keys in (("method",), ("rollbacks",), _PROBES):
        holders += _entries(source, *keys)
    for at, holder in holders:
        controls = holder.get("controls") if isinstance(holder, dict) else None
        for index, control in enumerate(controls if isinstance(controls, list) else ()):
            where = (*at, "controls", index)
            if not _invalid(source, Control, control, where):
                yield from _control(source, (*where, "provider", "module"), control["provider"]["module"])


def _control(source: YamlFile, at: Location, module: str) -> Iterator[Problem]:
    try:
        _import(module)
    except ImportError as error:
        yield source.problem(at, str(error), "install it, or correct the name", module)


def _extension_at(source: YamlFile) -> tuple[str, int] | None:
    for at, entry in _entries(source, "extensions"):
        if entry.get("name") == "gameday":
            return "extensions", int(at[1])
    return None


def _profile(
    source: YamlFile, at: Location, name: Any, catalogue: Catalogue, problems: list[Problem]
) -> load.Load | None:
    known = load.names(catalogue.directory)
    if not isinstance(name, str):
        return None
    if name not in known:
        problems.append(source.problem(at, f"unknown load profile {name!r}", suggestion(name, known), name))
        return None
    try:
        return load.read(name, catalogue)
    except InputError as error:
        problems += error.problems
        return None


def _names(
    source: YamlFile, at: Location, expect: Any, profile: load.Load | None, catalogue: Catalogue
) -> Iterator[Problem]:
    """Every route, edge and alert that is expected of must exist."""
    try:
        alerts = alert_names(catalogue)
    except InputError as error:
        yield from error.problems
        alerts = None
    if isinstance(expect, dict) and expect.get("traces") and catalogue.telemetry.traces is None:
        mend = "name a service under x-gameday: telemetry: traces"
        yield source.problem((*at, "traces"), "nothing keeps traces here", mend)
    edges = {edge.name for edge in catalogue.edges}
    edges |= {f"{edge.name}:{edge.port}" for edge in catalogue.edges}
    routes = profile.profile.routes if profile else None
    known: list[tuple[str, str, str, Collection[str] | None]] = [
        ("users", "route", "route of the load", routes),
        ("breaker", "edge", "edge", edges),
        ("retries", "edge", "edge", edges),
        ("retries", "route", "route of the load", routes),
        ("cascade", "routes", "route of the load", routes),
        ("cascade", "except", "route of the load", routes),
        ("bounded", "route", "route of the load", routes),
        ("queues", "queue", "queue", catalogue.queues),
        ("loss", "route", "route of the load", routes),
        ("loss", "service", "service", catalogue.services),
        ("alerts", "name", "alert", alerts),
        ("traces", "from", "service", catalogue.services),
        ("traces", "through", "service", catalogue.services),
        ("logs", "service", "service", catalogue.services),
    ]
    given = expect if isinstance(expect, dict) else {}
    for kind, key, what, names in known:
        for where, entry in _mappings(given.get(kind), (*at, kind)):
            for place, name in _named((*where, key), entry.get(key)):
                if names is not None and name not in names:
                    yield source.problem(place, f"unknown {what} {name!r}", suggestion(name, names), name)
    if profile:
        yield from _seen(source, at, given, profile.profile)
    yield from _panels(source, (*at, "panels"), given.get("panels"), catalogue)


def _named(at: Location, value: Any) -> Iterator[tuple[Location, str]]:
    """The name, or each of the names, at `at`."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, list):
        yield from (((*at, index), name) for index, name in enumerate(value) if isinstance(name, str))


def _seen(source: YamlFile, at: Location, expect: Mapping[str, Any], profile: load.Profile) -> Iterator[Problem]:
    """Whether the load can show what is expected of it."""
    for where, entry in _mappings(expect.get("cascade"), (*at, "cascade")):
        spared = entry.get("except")
        if isinstance(spared, list) and set(profile.routes) <= {name for _, name in _named(where, spared)}:
            yield source.problem((*where, "except"), "no route of the load is left", "leave out fewer", spared)
    for where, entry in _mappings(expect.get("bounded"), (*at, "bounded")):
        with suppress(ValueError):  # of which its model tells
            if (limit := Bound.parse(str(entry.get("within"))).limit) > profile.timeout:
                message = f"the load waits for {text(profile.timeout)} at most: nobody would know of {text(limit)}"
                mend = "bound it by less, or give the profile a longer timeout"
                yield source.problem((*where, "within"), message, mend, entry["within"])


def _panels(source: YamlFile, at: Location, entries: Any, catalogue: Catalogue) -> Iterator[Problem]:
    """Boards are read only where one is expected of."""
    named = [(index, entry) for index, entry in enumerate(entries or ()) if isinstance(entry, dict)]
    try:
        queries = dashboards.of_project(catalogue).queries if named else ()
    except InputError as error:
        yield from error.problems
        return
    for index, entry in named:
        board, panel = entry.get("board"), entry.get("panel")
        boards = {query.board for query in queries}
        panels = {query.panel for query in queries if query.board == board}
        if isinstance(board, str) and board not in boards:
            yield source.problem((*at, index, "board"), f"unknown board {board!r}", suggestion(board, boards), board)
        elif isinstance(panel, str) and panel not in panels:
            message = f"{board} has no panel {panel!r}"
            yield source.problem((*at, index, "panel"), message, suggestion(panel, panels), panel)


def alert_names(catalogue: Catalogue) -> Collection[str] | None:
    """The alerts that the SLO file makes; None where the catalogue names none."""
    slos = catalogue.telemetry.slos
    return {alert.alert for alert in alerting.read(slos, catalogue).alerts} if slos else None


def _lines(source: YamlFile, at: Location, expect: Mapping[str, Any]) -> dict[str, int]:
    """`users.0` -> the line at which that expectation begins."""
    lines = {}
    for kind, entries in expect.items():
        for index in range(len(entries)):
            lines[f"{kind}.{index}"] = source.line((*at, "expect", kind, index)) or 0
    return lines


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
