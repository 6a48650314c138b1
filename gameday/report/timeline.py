"""What a history tells on one time axis. Pure; all times are seconds since the run began."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gameday.checks.breaker import METRIC as BREAKER_METRIC
from gameday.checks.view import QUEUE_METRIC, View
from gameday.journal import History, Record

BREAKER_STATES = ("closed", "half-open", "open")
# A point per request would drown a browser in a long run; the slowest of each bucket always stays.
MOST_POINTS = 3000
_SERVER_ERROR = 500
# A value that this share of the control answers had is usual; where the usual ones make
# up less than nearly all, the value varies by itself and says nothing by being another.
_OFTEN = 0.1
_NEARLY_ALL = 0.8
_A_FEW = 10


class Answer(StrEnum):
    SAME = "as in control"
    OTHER = "other than in control"
    FAILED = "failed"


@dataclass(frozen=True)
class Span:
    """`end` is None where the history ended first."""

    name: str
    start: float
    end: float | None


@dataclass(frozen=True)
class Fault:
    """From `intended` on it may be felt, from `in_force` on it is known to be; None where that never came."""

    name: str
    intended: float
    in_force: float | None
    undone: float | None


@dataclass(frozen=True)
class Request:
    """`at` is the intended start, `ms` None where no answer came."""

    at: float
    ms: float | None
    answer: Answer


@dataclass(frozen=True)
class Bucket:
    """Requests that were meant to start in the `width` seconds around `at`; quantiles in ms."""

    at: float
    width: float
    counts: Mapping[Answer, int]
    p50: float | None
    p99: float | None


@dataclass(frozen=True)
class AlertLane:
    """`spans` are named pending or firing, `notified` is (time, firing or resolved)."""

    name: str
    spans: tuple[Span, ...]
    notified: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Moment:
    at: float
    text: str


@dataclass(frozen=True)
class Timeline:
    """`began` in epoch seconds, `bucket` the usual width of a bucket.

    `breakers` holds (time, index into BREAKER_STATES) per edge, `queues` (second, most messages that waited) per queue.
    """

    began: float
    length: float
    requests: tuple[Request, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    bucket: float = 1.0
    windows: tuple[Span, ...] = ()
    faults: tuple[Fault, ...] = ()
    breakers: Mapping[str, tuple[tuple[float, int], ...]] = field(default_factory=dict)
    queues: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    alerts: tuple[AlertLane, ...] = ()
    moments: tuple[Moment, ...] = ()
    changed: tuple[str, ...] = ()


def read(history: History) -> Timeline | None:
    """None where the history holds nothing that has a time axis."""
    records = history.records
    if not any(record.kind in ("request", "window", "lease") for record in records):
        return None
    began, ended = _extent(records)
    windows = tuple(_windows(history, began))
    requests, changed = _requests(history, began, windows)
    faults = tuple(_faults(View(history), began))
    breakers = _breakers(history, began)
    queues = _queues(history, began)
    alerts = tuple(_alerts(history, began))
    length = max(ended - began, 1.0)
    moments = [*_moments(windows, faults, requests, breakers, alerts), *_fullest(queues)]
    return Timeline(
        began=began,
        length=length,
        requests=requests,
        buckets=tuple(_buckets(requests, _width(length))),
        bucket=_width(length),
        windows=windows,
        faults=faults,
        breakers=breakers,
        queues=queues,
        alerts=alerts,
        moments=tuple(sorted(moments, key=lambda moment: moment.at)),
        changed=changed,
    )


def moved(breakers: Mapping[str, Sequence[tuple[float, int]]]) -> list[str]:
    """The edges whose breaker was seen in more than one state, or in another than closed."""
    return [edge for edge, samples in breakers.items() if any(state for _, state in samples)]


def filled(queues: Mapping[str, Sequence[tuple[float, float]]]) -> list[str]:
    """The queues in which more than a few messages waited: with every message one waits for a moment."""
    return [queue for queue, depths in queues.items() if max(depth for _, depth in depths) > _A_FEW]


def thinned(requests: Sequence[Request], most: int = MOST_POINTS) -> list[Request]:
    """At most about `most` of the requests: every k-th, and the slowest of each k."""
    answered = [request for request in requests if request.ms is not None]
    step = math.ceil(2 * len(answered) / most)
    if step <= 2:  # noqa: PLR2004 - every second with the slowest of two is all of them
        return answered
    kept: list[Request] = []
    for start in range(0, len(answered), step):
        chunk = answered[start : start + step]
        slowest = max(chunk, key=lambda request: request.ms or 0)
        kept += [chunk[0]] if slowest is chunk[0] else [chunk[0], slowest]
    return kept


def _extent(records: Sequence[Record]) -> tuple[float, float]:
    """From the control window's start (else the first request) to the last thing seen, in epoch seconds."""
    starts = [r.data["wall"] for r in records if r.kind == "window" and r.data["edge"] == "start"]
    requests = [r.data["intended_wall"] for r in records if r.kind == "request"]
    seen = [r.data["wall"] for r in records if r.kind in ("window", "alert_state")]
    seen += [r.data["received_wall"] for r in records if r.kind == "alert"]
    began = min(starts or requests or [records[0].wall])
    return began, max([*requests, *seen, began])


def _windows(history: History, began: float) -> Iterator[Span]:
    opened: dict[str, float] = {}
    for record in history.of("window"):
        name, at = record.data["window"], record.data["wall"] - began
        if record.data["edge"] == "start":
            opened[name] = at
        elif name in opened:
            yield Span(name, opened.pop(name), at)
    for name, start in opened.items():
        yield Span(name, start, None)


def _faults(view: View, began: float) -> Iterator[Fault]:
    for lease in view.leases:
        walls = [lease.get(f"{phase}_wall") for phase in ("intent", "in_force", "undone")]
        intended, in_force, undone = (wall - began if wall else None for wall in walls)
        if intended is not None:
            yield Fault(f"{lease['fault']} {lease['target']}", intended, in_force, undone)


def _requests(history: History, began: float, windows: Sequence[Span]) -> tuple[tuple[Request, ...], tuple[str, ...]]:
    """The requests in the order of their intended start, and what in their answers changed."""
    raw = sorted((record.data for record in history.of("request")), key=lambda data: float(data["intended_wall"]))
    control = next((window for window in windows if window.name == "control"), None)
    until = began + (control.end if control and control.end is not None else math.inf)
    usual = _usual([data for data in raw if float(data["intended_wall"]) < until])
    changed: dict[str, None] = {}
    requests = []
    for data in raw:
        answer = Answer.FAILED if _failed(data) else Answer.SAME
        others = [] if answer is Answer.FAILED else _others(data, usual)
        if others:
            answer = Answer.OTHER
            changed.update(dict.fromkeys(others))
        ms = None if data.get("ms") is None else float(data["ms"])
        requests.append(Request(float(data["intended_wall"]) - began, ms, answer))
    return tuple(requests), tuple(changed)


def _failed(data: Mapping[str, Any]) -> bool:
    status = data.get("status")
    return status is None or status >= _SERVER_ERROR or bool(data.get("error"))


def _usual(control: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], set[Any]]:
    """Per route and JSON path the few values that nearly all answers of control had; none where they vary."""
    seen: dict[tuple[str, str], Counter[Any]] = defaultdict(Counter)
    for data in control:
        for path, value in _scalars(data):
            seen[(str(data.get("route")), path)][value] += 1
    usual: dict[tuple[str, str], set[Any]] = {}
    for key, counts in seen.items():
        often = {value: count for value, count in counts.items() if count >= _OFTEN * counts.total()}
        if sum(often.values()) >= _NEARLY_ALL * counts.total():
            usual[key] = set(often)
    return usual


def _others(data: Mapping[str, Any], usual: Mapping[tuple[str, str], set[Any]]) -> list[str]:
    found = []
    for path, value in _scalars(data):
        known = usual.get((str(data.get("route")), path))
        if known is not None and value not in known:
            found.append(f"{path} = {value}")
    return found


def _scalars(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "status", data.get("status")
    for path, value in (data.get("json") or {}).items():
        if value is None or isinstance(value, str | int | bool):
            yield path, value


def _buckets(requests: Sequence[Request], width: float) -> Iterator[Bucket]:
    """The first and the last are as wide as there was load: half a bucket is no half load."""
    if not requests:
        return
    begin, end = requests[0].at, requests[-1].at
    end += (end - begin) / len(requests)
    lowest = round(begin / width)
    highest = max(lowest, round(end / width) - 1)
    grouped: dict[int, list[Request]] = defaultdict(list)
    for request in requests:
        grouped[min(max(math.floor(request.at / width), lowest), highest)].append(request)
    for number in range(lowest, highest + 1):
        start = begin if number == lowest else number * width
        stop = end if number == highest else (number + 1) * width
        yield _bucket(start, max(stop, start + width / 2), grouped.get(number, []))


def _bucket(start: float, stop: float, group: Sequence[Request]) -> Bucket:
    times = sorted(request.ms for request in group if request.ms is not None)
    return Bucket(
        at=(start + stop) / 2,
        width=stop - start,
        counts={answer: sum(request.answer is answer for request in group) for answer in Answer},
        p50=statistics.median(times) if times else None,
        p99=times[math.ceil(0.99 * len(times)) - 1] if times else None,
    )


def _width(length: float) -> float:
    """Of a bucket, in seconds: about a hundred buckets, of a width that a person would choose."""
    return next((width for width in (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0) if length / width <= 120), 300.0)  # noqa: PLR2004


def _breakers(history: History, began: float) -> dict[str, tuple[tuple[float, int], ...]]:
    found: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for record in history.of("sample"):
        data = record.data
        if data.get("metric") == BREAKER_METRIC and data.get("value") in (0, 1, 2):
            found[str(data.get("labels", {}).get("edge"))].append((float(data["wall"]) - began, int(data["value"])))
    return {edge: tuple(sorted(set(samples))) for edge, samples in sorted(found.items())}


def _queues(history: History, began: float) -> dict[str, tuple[tuple[float, float], ...]]:
    """Several processes measure one queue, each at its own moment: the most of each second counts."""
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for record in history.of("sample"):
        data = record.data
        if data.get("metric") == QUEUE_METRIC and math.isfinite(depth := float(data["value"])):
            second, depths = math.floor(data["wall"] - began), found[str(data["labels"].get("queue"))]
            depths[second] = max(depth, depths.get(second, 0.0))
    return {queue: tuple(sorted(depths.items())) for queue, depths in sorted(found.items())}


def _alerts(history: History, began: float) -> Iterator[AlertLane]:
    states: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for record in history.of("alert_state"):
        states[_lane(record.data)].append((float(record.data["wall"]) - began, str(record.data["state"])))
    notified: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for record in history.of("alert"):
        at = record.data["received_wall"] - began
        notified[_lane(record.data)].append((at, str(record.data["status"])))
    gap = 2.5 * _step([at for samples in states.values() for at, _ in samples])
    for name in sorted({*states, *notified}):
        yield AlertLane(name, tuple(_spans(sorted(set(states[name])), gap)), tuple(sorted(set(notified[name]))))


def _lane(data: Mapping[str, Any]) -> str:
    window = data.get("labels", {}).get("window")
    return f"{data['name']} {window}" if window else str(data["name"])


def _step(times: Iterable[float]) -> float:
    """The usual distance of samples in seconds."""
    distinct = sorted(set(times))
    distances = [after - before for before, after in itertools.pairwise(distinct)]
    return max(statistics.median(distances), 1.0) if distances else 1.0


def _spans(samples: Sequence[tuple[float, str]], gap: float) -> Iterator[Span]:
    """Samples of one state in a row are one span; a hole wider than `gap` seconds ends it."""
    start: float | None = None
    for index, (at, state) in enumerate(samples):
        start = at if start is None else start
        following = samples[index + 1] if index + 1 < len(samples) else None
        if following is None or following[0] - at > gap:
            yield Span(state, start, at)
            start = None
        elif following[1] != state:
            yield Span(state, start, following[0])
            start = None


def _fullest(queues: Mapping[str, Sequence[tuple[float, float]]]) -> Iterator[Moment]:
    for queue in filled(queues):
        second, depth = max(queues[queue], key=lambda each: each[1])
        yield Moment(second, f"Queue {queue}: {depth:.0f} messages wait, the most")


def _moments(
    windows: Sequence[Span],
    faults: Sequence[Fault],
    requests: Sequence[Request],
    breakers: Mapping[str, Sequence[tuple[float, int]]],
    alerts: Sequence[AlertLane],
) -> Iterator[Moment]:
    for window in windows:
        yield Moment(window.start, f"{window.name.capitalize()} window begins")
    for fault in faults:
        steps = {"intended": fault.intended, "in force": fault.in_force, "undone": fault.undone}
        yield from (Moment(at, f"{fault.name}: {step}") for step, at in steps.items() if at is not None)
    for answer, name in ((Answer.FAILED, "failed answer"), (Answer.OTHER, "answer that is other than in control")):
        times = [request.at for request in requests if request.answer is answer]
        if times:
            yield Moment(times[0], f"First {name}")
            yield Moment(times[-1], f"Last {name}")
    for edge, samples in breakers.items():
        for (_, before), (at, after) in itertools.pairwise(samples):
            if before != after:
                yield Moment(at, f"Breaker {edge}: {BREAKER_STATES[after]}")
    for lane in alerts:
        for span in lane.spans:
            yield Moment(span.start, f"Alert {lane.name}: {span.name}")
        for at, status in lane.notified:
            yield Moment(at, f"Alert {lane.name}: notified as {status}")
