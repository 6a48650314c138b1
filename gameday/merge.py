"""One verdict of the shards of a gate, from the histories that each of them left.

What of it nobody knows is inconclusive: a shard that is missing or crashed, a thing without a result, a history that is
gone. Shards that are not parts of one and the same gate are no input at all.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gameday import __version__, contracts, experiment, gate, runs, shards, suites
from gameday.catalogue import Catalogue
from gameday.errors import InputError, Problem
from gameday.experiment import Experiment
from gameday.judge import judge, read
from gameday.shards import Shard
from gameday.verdict import Finding, Part, Result, Verdict, Verdicts

SUITE = "gate"


@dataclass(frozen=True)
class Piece:
    """What one shard left in the directory `place`."""

    place: Path
    verdicts: Verdicts
    part: Part

    @property
    def shard(self) -> Shard:
        return Shard(self.part.index, self.part.of)

    @property
    def same(self) -> Mapping[str, Any]:
        """What all shards of one gate have in common."""
        common = self.part.model_dump(exclude={"index", "set_aside"})
        return {"gameday": self.verdicts.gameday, "time_scale": self.verdicts.time_scale, **common}


def merge(places: Sequence[Path], catalogue: Catalogue) -> Verdicts:
    """Judges again what the shards of one gate left in `places`. Nothing is started or written.

    Raises InputError where no place holds a verdict of a shard, two hold that of the same one, or they are not of the
    same gate: other versions, another commit, another catalogue than the others or than `catalogue`.
    """
    began = time.monotonic()
    pieces, crashed = _pieces(places)
    if problems := [*_strange(pieces), *_foreign(pieces, catalogue)]:
        raise InputError(problems)
    first = pieces[0]
    experiments = {each.name: each for each in experiment.check(experiment.files(catalogue.directory), catalogue)}
    results = [result for piece in pieces for result in _results(piece, experiments)]
    results += [*_missing(pieces), *_idle(first.part), *_together(pieces, catalogue, [*experiments.values()])]
    started = min(piece.verdicts.started for piece in pieces)
    left_out = [*first.part.left_out, *crashed]
    merged = gate.conclude(results, began, started, first.verdicts.time_scale, left_out)
    return merged.model_copy(update={"seconds": max(piece.verdicts.seconds for piece in pieces)})


def _pieces(places: Sequence[Path]) -> tuple[list[Piece], list[str]]:
    """What can be read, by shard, and of each other place what is wrong with it. Raises InputError."""
    pieces: list[Piece] = []
    crashed: list[str] = []
    for place in places:
        try:
            verdicts = Verdicts.model_validate_json((place / runs.VERDICT).read_bytes())
        except (OSError, ValueError) as error:
            crashed.append(f"{place}: no verdict that can be read, its shard crashed: {str(error).splitlines()[0]}")
            continue
        if verdicts.part is None:
            mend = "name the directories that gameday gate --shard wrote"
            raise InputError(Problem("no verdict of a shard", mend, file=place / runs.VERDICT))
        pieces.append(Piece(place, verdicts, verdicts.part))
    if not pieces:
        mend = "name the directories that gameday gate --shard wrote"
        raise InputError([Problem(told, mend) for told in crashed])
    return sorted(pieces, key=lambda piece: piece.part.index), crashed


def _strange(pieces: Sequence[Piece]) -> Iterator[Problem]:
    """Where they are not the parts of one gate, each once."""
    first, seen = pieces[0], dict[int, Path]()
    for piece in pieces:
        if piece.part.index in seen:
            message = f"the shard {piece.shard} is there twice: {seen[piece.part.index]} and {piece.place}"
            yield Problem(message, "name one of both")
        seen[piece.part.index] = piece.place
        for key, value in piece.same.items():
            if value != first.same[key]:
                message = f"not of the same gate as {first.place}: another {key}: {value}, not {first.same[key]}"
                yield Problem(message, "name shards of one gate", file=piece.place / runs.VERDICT)


def _foreign(pieces: Sequence[Piece], catalogue: Catalogue) -> Iterator[Problem]:
    """Where they were of another gate than the one that would judge them here."""
    if (version := pieces[0].verdicts.gameday) != __version__:
        yield Problem(f"the shards ran with gameday {version}", f"judge them with it; this is {__version__}")
    if pieces[0].part.catalogue != shards.digest(catalogue):
        message = f"the shards ran with other files than stand in {catalogue.directory}"
        yield Problem(message, "check out what they ran", value=pieces[0].part.commit or None)


def _results(piece: Piece, experiments: Mapping[str, Experiment]) -> Iterator[Result]:
    """Those that have a history judged again; and what should have a result and has none."""
    lacking = Counter((suite, name) for suite, names in _mine(piece.part, piece.shard).items() for name in names)
    for result in (*piece.verdicts.results, *piece.part.set_aside):
        lacking[result.suite, result.name] -= 1
        judged = _again(piece, result) if result.directory else result
        known = experiments.get(result.name) if result.suite == "experiments" else None
        yield suites.excused(judged, known, suites.today()) if known else judged
    for suite, name in +lacking:
        yield _unknown(piece.shard, f"the result of {suite} {name}", "none")


def _again(piece: Piece, result: Result) -> Result:
    """Its history may have been carried here from another machine."""
    place = piece.place / Path(result.directory or "").name
    return suites.guarded(result.suite, result.name, result.title, lambda: judge(read(place), place))


def _missing(pieces: Sequence[Piece]) -> Iterator[Result]:
    part = pieces[0].part
    for index in sorted({*range(1, part.of + 1)} - {piece.part.index for piece in pieces}):
        shard = Shard(index, part.of)
        things = [f"{suite} {name}" for suite, names in _mine(part, shard).items() for name in names]
        yield _unknown(shard, "its verdict", "none: it crashed, or is not named", f"not judged: {', '.join(things)}")


def _idle(part: Part) -> Iterator[Result]:
    for suite, names in part.planned.items():
        if not names:
            yield from suites.spoken(suite, ())


def _together(pieces: Sequence[Piece], catalogue: Catalogue, experiments: Sequence[Experiment]) -> Iterator[Result]:
    """What only all shards together say."""
    part, places = pieces[0].part, [piece.place for piece in pieces]
    if "contracts" in part.planned:
        yield from contracts.missing(catalogue, contracts.read_all(contracts.directory(catalogue)))
    record = suites.Record(catalogue, pieces[0].verdicts.time_scale, places, suites.expected(experiments))
    for suite in part.together:
        yield from suites.spoken(suite, suites.PROOFS[suite](record))


def _mine(part: Part, shard: Shard) -> Mapping[str, Sequence[str]]:
    return {suite: shard.part(names) for suite, names in part.planned.items()}


def _unknown(shard: Shard, expected: str, observed: str, detail: str = "") -> Result:
    about = {"check": SUITE, "subject": f"shard {shard}", "expected": expected, "observed": observed, "detail": detail}
    finding = Finding.model_validate({**about, "verdict": Verdict.INCONCLUSIVE})
    return Result(suite="gate", name=f"shard-{shard.index}", title=f"The shard {shard}", findings=(finding,))
