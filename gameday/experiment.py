"""Experiment files: stock Chaos Toolkit, read strictly, with what gameday expects on top.

The toolkit itself ignores a misspelt key and a control that it cannot load; here
both are problems. All problems are found at once, before anything is started.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from gameday import alerts as alerting
from gameday import load
from gameday.catalogue import Catalogue
from gameday.durations import seconds
from gameday.errors import InputError, Problem
from gameday.expectations import Extension, Strict
from gameday.faults import registry
from gameday.yamlfile import Location, YamlFile, suggestion

DIRECTORY = Path("experiments")
ACTIVITIES = "gameday.activities"

Text = Annotated[str, Field(min_length=1)]


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
    timeout: Any = None
    expected_status: int | None = None
    verify_tls: bool = True
    max_retries: int = 0
    secrets: list[str] = Field(default_factory=list)


class Process(Strict):
    type: Literal["process"]
    path: Text
    arguments: Any = None
    timeout: Any = None
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
    problems: list[Problem] = []
    try:
        toolkit = Toolkit.model_validate(source.data)
    except ValidationError as error:
        problems += source.explain(error, Toolkit)
    else:
        problems += _activities(source, toolkit, catalogue)
        problems += _controls(source, toolkit)
    extension = _extension(source, problems)
    profile = _profile(source, extension, catalogue, problems) if extension else None
    if extension:
        problems += _expectations(source, extension[1], profile, catalogue, extension[0])
    if problems or extension is None or profile is None:
        raise InputError(sorted(problems, key=lambda problem: problem.line or 0))
    at, model = extension
    expect = source.data["extensions"][at[1]]["expect"]
    return Experiment(path.stem, source.data["title"], source, model, profile, expect, _lines(source, at, expect))


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


def _activities(source: YamlFile, toolkit: Toolkit, catalogue: Catalogue) -> Iterator[Problem]:
    groups: list[tuple[tuple[str, ...], list[Activity]]] = [
        (("method",), toolkit.method),
        (("rollbacks",), toolkit.rollbacks),
    ]
    if toolkit.hypothesis:
        groups.append((("steady-state-hypothesis", "probes"), toolkit.hypothesis.probes))
    for at, activities in groups:
        for index, activity in enumerate(activities):
            yield from _activity(source, (*at, index), activity, catalogue)
    yield from _shape(source, toolkit)
    for index, probe in enumerate(toolkit.hypothesis.probes if toolkit.hypothesis else ()):
        if probe.tolerance is None:
            at = ("steady-state-hypothesis", "probes", index)
            yield source.problem(at, "a probe without a tolerance", "add tolerance: 200, or what holds")


def _shape(source: YamlFile, toolkit: Toolkit) -> Iterator[Problem]:
    """A fault that nothing holds or undoes is what the toolkit would be green over."""
    method = [_gameday(activity) for activity in toolkit.method]
    if "inject" not in method:
        return
    if "hold" not in method[method.index("inject") :]:
        mend = f"add an action with module {ACTIVITIES}, func hold, after the inject"
        yield source.problem(("method",), "nothing holds the fault: the method would end at once", mend)
    if "undo" not in [_gameday(activity) for activity in toolkit.rollbacks]:
        mend = f"add an action with module {ACTIVITIES}, func undo"
        yield source.problem(("rollbacks",), "nothing undoes the fault", mend)


def _gameday(activity: Activity) -> str | None:
    """The name of our own activity; None for anybody else's."""
    if activity.provider.get("module") != ACTIVITIES:
        return None
    return str(activity.provider.get("func"))


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
        if _gameday(activity) == "inject":
            yield from _fault(source, (*where, "arguments"), provider.arguments, catalogue)


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
    name, target = arguments.get("fault"), arguments.get("target")
    if not isinstance(name, str) or not isinstance(target, str) or "${" in f"{name}{target}":
        return
    for problem in registry.problems(name, target, arguments.get("arguments") or {}, catalogue):
        key = tuple((problem.key or "arguments").split("."))
        yield source.problem((*at, *key), problem.message, problem.mend, problem.value)
    yield from _lease(source, (*at, "lease"), arguments.get("lease"))


def _lease(source: YamlFile, at: Location, lease: Any) -> Iterator[Problem]:
    if lease is None:
        return
    try:
        seconds(str(lease))
    except ValueError as error:
        yield source.problem(at, str(error), "write a duration with its unit", lease)


def _controls(source: YamlFile, toolkit: Toolkit) -> Iterator[Problem]:
    """The toolkit logs a control that it cannot import, and goes on without it."""
    places: list[tuple[Location, list[Control]]] = [(("controls",), toolkit.controls)]
    if toolkit.hypothesis:
        places.append((("steady-state-hypothesis", "controls"), toolkit.hypothesis.controls))
    for key, activities in (("method", toolkit.method), ("rollbacks", toolkit.rollbacks)):
        places += [((key, index, "controls"), activity.controls) for index, activity in enumerate(activities)]
    for at, controls in places:
        for index, control in enumerate(controls):
            try:
                _import(control.provider.module)
            except ImportError as error:
                where = (*at, index, "provider", "module")
                yield source.problem(where, str(error), "install it, or correct the name", control.provider.module)


def _extension(source: YamlFile, problems: list[Problem]) -> tuple[tuple[str, int], Extension] | None:
    entries = source.data.get("extensions")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and entry.get("name") == "gameday":
            at = ("extensions", index)
            try:
                return at, source.validate(Extension, entry, at)
            except InputError as error:
                problems += error.problems
                return None
    message = "no extension called gameday: nothing would be judged"
    problems.append(source.problem(("extensions",), message, "add {name: gameday, load: ..., expect: ...}"))
    return None


def _profile(
    source: YamlFile, extension: tuple[Location, Extension], catalogue: Catalogue, problems: list[Problem]
) -> load.Load | None:
    at, model = extension
    known = load.names(catalogue.directory)
    if model.load not in known:
        message = f"unknown load profile {model.load!r}"
        problems.append(source.problem((*at, "load"), message, suggestion(model.load, known), model.load))
        return None
    try:
        return load.read(model.load, catalogue)
    except InputError as error:
        problems += error.problems
        return None


def _expectations(
    source: YamlFile, extension: Extension, profile: load.Load | None, catalogue: Catalogue, at: Location
) -> Iterator[Problem]:
    at = (*at, "expect")
    for index, users in enumerate(extension.expect.users):
        if profile and users.route not in profile.profile.routes:
            message = f"the load {profile.name!r} has no route {users.route!r}"
            mend = suggestion(users.route, profile.profile.routes)
            yield source.problem((*at, "users", index, "route"), message, mend, users.route)
    for index, breaker in enumerate(extension.expect.breaker):
        if not catalogue.find(breaker.edge):
            mend = suggestion(breaker.edge, (edge.name for edge in catalogue.edges))
            where = (*at, "breaker", index, "edge")
            yield source.problem(where, f"unknown edge {breaker.edge!r}", mend, breaker.edge)
    try:
        known = alert_names(catalogue)
    except InputError as error:
        yield from error.problems
        return
    for index, alert in enumerate(extension.expect.alerts):
        if known is not None and alert.name not in known:
            where = (*at, "alerts", index, "name")
            yield source.problem(where, f"unknown alert {alert.name!r}", suggestion(alert.name, known), alert.name)


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
