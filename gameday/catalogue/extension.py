"""`x-gameday`: what compose cannot say. Unknown keys are errors."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gameday.catalogue.document import Mark, at, locate
from gameday.catalogue.model import EdgeKind, OnLoss
from gameday.errors import Problem

KEY = "x-gameday"

_ROUTE = r"^[A-Z]+ /\S*$"
_PATH = r"^/\S*$"
_ADDRESS = r"^[\w.-]+:\d{1,5}$"
_MENDS = {
    _ROUTE: "write a method and a path, such as GET /api/homepage",
    _PATH: "write a path such as /metrics",
    _ADDRESS: "write HOST:PORT",
}

Route = Annotated[str, StringConstraints(pattern=_ROUTE)]
Path = Annotated[str, StringConstraints(pattern=_PATH)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class TimerKeys(_Strict):
    """Seconds of production; never scaled below `floor`."""

    value: Seconds
    floor: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class TelemetryKeys(_Strict):
    prometheus: str | None = None
    alertmanager: str | None = None
    traces: str | None = None
    webhook: Annotated[str, StringConstraints(pattern=_ADDRESS)] | None = None
    rules: str | None = None
    slos: str | None = None


class WaiverKeys(_Strict):
    """Until the day `until`, `owner` answers for what the rule `lint` of `gameday lint` finds of `subject`."""

    lint: str
    subject: str
    reason: Annotated[str, StringConstraints(min_length=1)]
    owner: Annotated[str, StringConstraints(min_length=1)]
    until: date


class SystemKeys(_Strict):
    """The keys at the top of the file."""

    timers: dict[str, TimerKeys] = Field(default_factory=dict)
    telemetry: TelemetryKeys = TelemetryKeys()
    preload: tuple[str, ...] = ()
    entry: str | None = None
    routes: tuple[Route, ...] = ()
    waivers: tuple[WaiverKeys, ...] = ()


class StatesKeys(_Strict):
    """Where an instance of the service is put into a provider state, and what it needs to allow that."""

    path: Path
    messages: Path | None = None
    environment: dict[str, str] = Field(default_factory=dict)


class ServiceKeys(_Strict):
    """The keys of one service."""

    metrics: Path | None = None
    command: tuple[str, ...] | None = None
    on_loss: dict[str, OnLoss] = Field(default_factory=dict, alias="on-loss")
    kind: dict[str, EdgeKind] = Field(default_factory=dict)
    publishes: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    provider_states: StatesKeys | None = Field(default=None, alias="provider-states")


Keys = TypeVar("Keys", SystemKeys, ServiceKeys)


def parse(model: type[Keys], value: Any, path: list[str | int], mark: Mark) -> tuple[Keys, list[Problem]]:
    """The keys under `value`, which stands at `path` and `mark`, without those that have problems."""
    if value is None:
        return model(), []
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        problems = [_problem(model, each, value, path, mark) for each in error.errors()]
        return _rest(model, value, {each["loc"][0] for each in error.errors() if each["loc"]}), problems


def _rest(model: type[Keys], value: Any, faulty: set[str | int]) -> Keys:
    """Read on without the faulty keys, so that what else is wrong is told in the same breath."""
    if not isinstance(value, Mapping):
        return model()
    return model.model_validate({key: child for key, child in value.items() if key not in faulty})


def _problem(model: type[BaseModel], error: Any, value: Any, path: list[str | int], mark: Mark) -> Problem:
    inside = list(error["loc"])
    place = locate(value, inside, mark)
    if error["type"] == "extra_forbidden":
        known = sorted(field.alias or name for name, field in _model_at(model, inside[:-1]).model_fields.items())
        near = difflib.get_close_matches(str(inside[-1]), known, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"remove it; known are {', '.join(known)}"
        return at(place, f"unknown key {str(inside[-1])!r}", mend, [*path, *inside])
    given = error["input"] if isinstance(error["input"], str | int | float) else None
    message = error["msg"].removeprefix("Input ").removeprefix("String ")
    return at(place, message, _mend(error), [*path, *inside], given)


def _model_at(model: type[BaseModel], inside: list[str | int]) -> type[BaseModel]:
    if inside[:1] == ["timers"]:
        return TimerKeys
    if inside[:1] == ["provider-states"]:
        return StatesKeys
    if inside[:1] == ["waivers"]:
        return WaiverKeys
    return TelemetryKeys if inside[:1] == ["telemetry"] else model


def _mend(error: Any) -> str:
    context = error.get("ctx") or {}
    if "expected" in context:
        return f"write one of {context['expected']}"
    if "gt" in context or "ge" in context:
        return f"write a number {'above' if 'gt' in context else 'not below'} {context.get('gt', context.get('ge')):g}"
    return _MENDS.get(str(context.get("pattern")), str(error["msg"]).replace("Input should be", "write"))
