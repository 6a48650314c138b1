"""Two stored runs beside each other: what got worse, what got better, what only one of them looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from gameday import judge
from gameday.errors import InputError, Problem
from gameday.journal import History
from gameday.measures import Measure, Name, measures
from gameday.runs import VERDICT
from gameday.state import State
from gameday.verdict import Result, Verdict, Verdicts, severity

# A difference below this share of what was is none: two runs of the same on a busy machine differ by as much.
_TOLERANCE = 0.2
# Suite and name of a result.
Key = tuple[str, str]


class Change(StrEnum):
    """`new` and `gone` are told: what only one run looked at is no better and no worse."""

    WORSE = "worse"
    BETTER = "better"
    OTHER = "other"
    SAME = "same"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True)
class Row:
    """One thing that was compared: `before` and `after` are empty where a run did not look at it."""

    result: str
    what: str
    before: str
    after: str
    change: Change


@dataclass(frozen=True)
class Run:
    """What was judged, and the histories by suite and name of the result that has one."""

    name: str
    time_scale: float
    results: Mapping[Key, Result]
    histories: Mapping[Key, History]


def find(state: State, name: str) -> Path:
    """The directory of a run: an id that `gameday runs list` shows, or a path. Raises InputError."""
    for directory in (state.runs / name, Path(name)):
        if (directory / VERDICT).is_file() or (directory / judge.JOURNAL).is_file():
            return directory
    known = sorted(each.name for each in state.runs.glob("*") if each.is_dir())
    mend = f"name one that `gameday runs list` shows, such as {known[-1]}" if known else "there is none yet: run one"
    raise InputError(Problem("no such run", mend, value=name))


def read(directory: Path) -> Run:
    """A run that was judged as it was judged; one that came to no verdict is judged now. Raises InputError."""
    file = directory / VERDICT
    if not file.is_file():
        history = judge.read(directory)
        result = judge.judge(history, directory)
        key: Key = (result.suite, result.name)
        return Run(directory.name, float(result.facts.get("time_scale", 1.0)), {key: result}, {key: history})
    try:
        verdicts = Verdicts.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key_path = ".".join(map(str, first["loc"]))
        raise InputError(Problem(f"is no verdict: {first['msg']}", "name another run", file, key=key_path)) from None
    results: dict[Key, Result] = {(result.suite, result.name): result for result in verdicts.results}
    places = {key: _place(directory, result) for key, result in results.items()}
    histories = {key: judge.read(place) for key, place in places.items() if place}
    return Run(directory.name, verdicts.time_scale, results, histories)


def _place(directory: Path, result: Result) -> Path | None:
    """Where the history of `result` is: the run may have been moved since."""
    if result.directory is None:
        return None
    told = Path(result.directory)
    near = (directory, directory / told.name, told)
    return next((each for each in near if (each / judge.JOURNAL).is_file()), None)


def compare(before: Run, after: Run) -> list[Row]:
    """Raises InputError where the two ran at different time scales: their times are not those of one system."""
    if before.time_scale != after.time_scale:
        scales = f"{before.time_scale:g} and {after.time_scale:g}"
        raise InputError(Problem("runs of one time scale are needed", "name others", value=scales))
    names = list(dict.fromkeys((*before.results, *after.results)))
    return [row for name in names for row in _of_result(name, before, after)]


def _of_result(name: Key, before: Run, after: Run) -> Iterator[Row]:
    head = ": ".join(name)
    old, new = before.results.get(name), after.results.get(name)
    yield _judged(head, "verdict", old.verdict if old else None, new.verdict if new else None)
    if old is None or new is None:
        return
    ours, theirs = _findings(old), _findings(new)
    for what in dict.fromkeys((*ours, *theirs)):
        yield _judged(head, what, ours.get(what), theirs.get(what))
    yield from _measured(head, _measures(before, name), _measures(after, name))


def _measures(run: Run, name: Key) -> Mapping[Name, Measure]:
    """None of a result without a history, or whose history expects what nobody knows any more."""
    try:
        return measures(run.histories[name]) if name in run.histories else {}
    except ValueError:
        return {}


def _findings(result: Result) -> Mapping[str, Verdict]:
    """By check and subject; of several with both the same each is numbered."""
    found: dict[str, Verdict] = {}
    for finding in result.findings:
        key = f"{finding.check}: {finding.subject}"
        again = sum(each == key or each.startswith(f"{key} (") for each in found)
        found[f"{key} ({again + 1})" if again else key] = finding.verdict
    return found


def _judged(head: str, what: str, before: Verdict | None, after: Verdict | None) -> Row:
    return Row(head, what, str(before or ""), str(after or ""), _change(before, after))


def _change(before: Verdict | None, after: Verdict | None) -> Change:
    """What was refuted and is inconclusive now is not better: nobody knows."""
    if before is None:
        return Change.NEW if after in (None, Verdict.CONFIRMED) else Change.WORSE
    if after is None:
        return Change.GONE
    if before is after:
        return Change.SAME
    if after is Verdict.CONFIRMED:
        return Change.BETTER
    return Change.WORSE if severity(after) > severity(before) else Change.OTHER


def _measured(head: str, before: Mapping[Name, Measure], after: Mapping[Name, Measure]) -> Iterator[Row]:
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        yield Row(head, " ".join(name), str(old or ""), str(new or ""), _moved(old, new))


def _moved(before: Measure | None, after: Measure | None) -> Change:
    if before is None or after is None:
        return Change.GONE if after is None else Change.NEW
    if before.value is None or after.value is None:
        return Change.SAME if before.value == after.value else Change.WORSE if after.value is None else Change.BETTER
    if _exceeds(after, before):
        return Change.WORSE
    return Change.BETTER if _exceeds(before, after) else Change.SAME


def _exceeds(one: Measure, other: Measure) -> bool:
    """Whether it is greater for certain: the intervals are apart, and by more than runs of the same differ."""
    assert one.value is not None and other.value is not None  # noqa: S101 - both were seen
    far = one.value - other.value > max(one.margin, other.margin, _TOLERANCE * other.value)
    return one.low > other.high and far


def verdict(rows: Sequence[Row]) -> Verdict:
    """Confirmed where nothing got worse. Runs that have nothing in common say nothing of each other."""
    if any(row.change is Change.WORSE for row in rows):
        return Verdict.REFUTED
    common = any(row.change not in (Change.NEW, Change.GONE) for row in rows)
    return Verdict.CONFIRMED if common else Verdict.INCONCLUSIVE
