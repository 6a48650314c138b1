"""What an experiment expects others to see, as strict models.

A duration in `recovers`, `opens`, `closes`, `fires` and `resolves` is production
time: it is judged as limit / time scale + slack. `p99` and `waits` are never scaled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import jsonschema
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from gameday.durations import Bound, seconds
from gameday.movement import Direction
from gameday.waiver import Waiver

_SHARE = re.compile(r"\s*<=\s*(\d+)\s+of\s+(\d+)\s*")
_FACTOR = re.compile(r"\s*<=\s*(\d+(?:\.\d+)?)\s*")
ROUTE = r"^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) /\S*$"


@dataclass(frozen=True)
class Share:
    """`<= 1 of 300`: at least 300 observations, of which at most one in 300 is bad."""

    bad: int
    of: int

    @classmethod
    def parse(cls, source: str) -> Share:
        match = _SHARE.fullmatch(source)
        if not match or int(match[2]) < 1 or int(match[1]) >= int(match[2]):
            raise ValueError(f"{source!r} is not a share such as '<= 1 of 300'")
        return cls(int(match[1]), int(match[2]))

    def holds(self, bad: int, n: int) -> bool:
        return bad * self.of <= self.bad * n

    def __str__(self) -> str:
        return f"<= {self.bad} of {self.of}"


def _bound(value: Any) -> Bound:
    bound = value if isinstance(value, Bound) else Bound.parse(_text(value))
    if bound.sign not in ("<=", "<"):
        raise ValueError(f"{value!r} sets no upper limit: write '<= 5s'")
    return bound


def _share(value: Any) -> Share:
    return value if isinstance(value, Share) else Share.parse(_text(value))


def _factor(value: Any) -> float:
    match = _FACTOR.fullmatch(_text(value))
    if not match or not float(match[1]):
        raise ValueError(f"{value!r} is not a factor such as '<= 1.5'")
    return float(match[1])


def _duration(value: Any) -> float:
    return value if isinstance(value, float) else seconds(_text(value))


def _status(value: Any) -> Any:
    if value == "none" or (isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599):  # noqa: PLR2004
        return value
    raise ValueError(f"{value!r} is neither a status from 100 to 599 nor none, no answer at all")


def _schemas(content: dict[str, Any]) -> dict[str, Any]:
    for path, wanted in content.items():
        if isinstance(wanted, dict):
            try:
                jsonschema.Draft202012Validator.check_schema(wanted)
            except jsonschema.SchemaError as error:
                raise ValueError(f"{path}: not a JSON Schema: {error.message}") from None
    return content


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text: write it with its unit, in quotes")
    return value


Limit = Annotated[
    Bound,
    BeforeValidator(_bound),
    WithJsonSchema({"type": "string", "pattern": r"^\s*<=?\s*\S+", "examples": ["<= 5s", "<= 800ms"]}),
]
Bad = Annotated[
    Share,
    BeforeValidator(_share),
    WithJsonSchema({"type": "string", "pattern": _SHARE.pattern, "examples": ["<= 1 of 300"]}),
]
Factor = Annotated[
    float,
    BeforeValidator(_factor),
    WithJsonSchema({"type": "string", "pattern": _FACTOR.pattern, "examples": ["<= 1.5"]}),
]
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(\.\d+)?(us|ms|s|m|h|d))+$", "examples": ["20s"]}),
]
Status = Annotated[
    int | Literal["none"],
    BeforeValidator(_status),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"const": "none"}]}),
]
Content = Annotated[dict[str, Any], AfterValidator(_schemas)]
Route = Annotated[str, Field(pattern=ROUTE, description="Method and path, such as `GET /api/homepage`")]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


class Users(Strict):
    """What users of a route see while the fault is in force.

    `before` is the status without it, where that is another: a clean error in place
    of an answer. `status: none` is no answer at all, as where nobody listens; `p99` says how soon
    that is clear. `json` maps dotted paths of the answer to a literal, or to a JSON Schema where
    the value is a mapping. Taken together they must not hold in the control window.
    """

    route: Route
    status: Status
    before: int | None = Field(default=None, ge=100, le=599, description="Status without the fault; default: `status`")
    content: Content = Field(default_factory=dict, alias="json")
    bad: Bad = Share(1, 300)
    p99: Limit | None = None
    recovers: Limit | None = None

    @property
    def normal(self) -> int | None:
        """The status without the fault."""
        return self.before if isinstance(self.status, str) or self.before is not None else self.status

    @model_validator(mode="after")
    def _no_answer_is_new(self) -> Users:
        if self.status == "none" and (self.before is None or self.content):
            raise ValueError("`status: none` needs `before`, the status without the fault, and has no `json`")
        return self


Waits = Annotated[
    Duration, Field(description="Real time, never scaled, in which requests run into their timeout before it can begin")
]


class Breaker(Strict):
    """A circuit breaker opens after the fault came into force, and closes after it was undone."""

    edge: str = Field(pattern=r"^\S+->\S+$")
    opens: Limit
    closes: Limit
    waits: Waits = 0.0


class Retries(Strict):
    """How many times more requests go over an edge than without the fault, for each that users make to `route`.

    Above 1: what is tried again; below 1: what a breaker or a cache spares the provider.
    """

    edge: str = Field(pattern=r"^\S+->\S+$")
    route: Route
    amplification: Factor


class Cascade(Strict):
    """No other route of the load fails while the fault is in force: of each at least `bad.of` are asked.

    Either the `routes` that must not, or all `except` those that the fault is about.
    """

    routes: tuple[Route, ...] = Field(default=(), strict=False)
    spared: tuple[Route, ...] = Field(default=(), strict=False, alias="except")
    bad: Bad = Share(0, 10)

    @model_validator(mode="after")
    def _one_of_both(self) -> Cascade:
        if bool(self.routes) == bool(self.spared):
            raise ValueError("name either `routes`, or those that are left out: `except`")
        return self


class Bounded(Strict):
    """No request to `route` takes longer than `within`, real time, from the fault in force to the end."""

    route: Route
    within: Limit


class Queue(Strict):
    """Messages wait in a queue while the fault is in force, and no more than before soon after it was undone.

    `drains` is real time, never scaled: a consumer works as fast at every time scale.
    """

    queue: str = Field(pattern=r"^[^.\s]+\.\S+$", description="`<consumer>.<event>`")
    waiting: int = Field(ge=1, description="Messages that wait at least at once")
    drains: Limit


class Loss(Strict):
    """What was acknowledged is found elsewhere after the undo, once: neither lost nor doubled.

    A 2xx answer to `route` acknowledges a write, which its `header` names. `service` shows at `path` a JSON
    list of what arrived there; `found` is the dotted path of that name in each entry. `within` is real time,
    never scaled.
    """

    route: Route
    header: str = Field(default="x-correlation-id", pattern=r"^[A-Za-z0-9-]+$")
    service: str = Field(min_length=1)
    path: str = Field(pattern=r"^/\S*$")
    found: str = Field(min_length=1)
    within: Limit


class Alert(Strict):
    """An alert that fires and resolves, both delivered; or one that stays `silent`."""

    name: str = Field(min_length=1)
    fires: Limit | None = None
    resolves: Limit | None = None
    silent: bool = False
    waits: Waits = 0.0

    @model_validator(mode="after")
    def _one_of_both(self) -> Alert:
        if self.silent == (self.fires is not None or self.resolves is not None):
            raise ValueError("an alert needs either `silent: true`, or both `fires` and `resolves`")
        if not self.silent and (self.fires is None or self.resolves is None):
            raise ValueError("an alert needs both `fires` and `resolves`")
        return self


class Trace(Strict):
    """A span of this name and status that begins while the fault is in force, and none in the control window.

    `from` is the span's `service.name`; `ok` is a span that is no error. One such trace has a span of each service of
    `through`: the context got across whatever lies between them.
    """

    name: str = Field(min_length=1)
    status: Literal["error", "ok"]
    service: str = Field(alias="from", min_length=1)
    through: tuple[str, ...] = Field(default=(), strict=False)


class Log(Strict):
    """A structured line of a service that is written while the fault is in force, and none in the control window.

    `event` is what happened (the line's `event`, `message` or `msg`); `json` maps dotted paths of the line to a
    literal, or to a JSON Schema where the value is a mapping.
    """

    service: str = Field(min_length=1)
    event: str = Field(min_length=1)
    content: Content = Field(default_factory=dict, alias="json")


class Panel(Strict):
    """A panel of a dashboard moves while the fault is in force: the series of that legend, else any of its series."""

    board: str = Field(min_length=1, description="The uid of the board")
    panel: str = Field(min_length=1, description="The title of the panel")
    moves: Direction
    series: str | None = Field(default=None, min_length=1)


class Expect(Strict):
    users: tuple[Users, ...] = Field(default=(), strict=False)
    breaker: tuple[Breaker, ...] = Field(default=(), strict=False)
    retries: tuple[Retries, ...] = Field(default=(), strict=False)
    cascade: tuple[Cascade, ...] = Field(default=(), strict=False)
    bounded: tuple[Bounded, ...] = Field(default=(), strict=False)
    queues: tuple[Queue, ...] = Field(default=(), strict=False)
    loss: tuple[Loss, ...] = Field(default=(), strict=False)
    alerts: tuple[Alert, ...] = Field(default=(), strict=False)
    traces: tuple[Trace, ...] = Field(default=(), strict=False)
    logs: tuple[Log, ...] = Field(default=(), strict=False)
    panels: tuple[Panel, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _something(self) -> Expect:
        kinds = type(self).model_fields
        if not any(getattr(self, kind) for kind in kinds):
            raise ValueError(f"expects nothing: name one of {', '.join(kinds)}")
        return self


class Excuse(Waiver):
    """For an experiment that is red."""

    @field_validator("until", mode="before")
    @classmethod
    def _quoted(cls, value: Any) -> Any:
        if isinstance(value, date):
            raise ValueError(f'a date that `chaos run` cannot read: write it with quotes, as "{value}"')
        return value


class Extension(Strict):
    """The `extensions` entry called gameday."""

    name: Literal["gameday"]
    load: str = Field(min_length=1, description="A profile of loadtests/profiles")
    expect: Expect
    waiver: Excuse | None = None


class Threshold(Strict):
    """What a load profile demands of one route."""

    status: int = Field(default=200, ge=100, le=599)
    bad: Bad = Share(1, 300)
    p99: Limit | None = None
