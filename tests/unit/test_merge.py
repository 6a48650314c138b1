"""One verdict of several shards: what is missing, doubled, crashed or of another gate is never green."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import histories as h
import pytest

from gameday import __version__, gate, shards, suites
from gameday.catalogue import Catalogue, compose
from gameday.errors import InputError
from gameday.journal import Journal
from gameday.judge import judge, read
from gameday.merge import merge
from gameday.shards import Shard
from gameday.verdict import Finding, Result, Verdict, Verdicts
from gameday.waiver import Waiver

PLANNED = {"contracts": ("web->shop",), "experiments": ("cache-down", "search-down", "shop-down")}


class Shards:
    """Three shards of one gate, each with the history of its experiment, as if carried here from elsewhere."""

    def __init__(self, directory: Path) -> None:
        (directory / "docker-compose.yml").write_text("services: {web: {image: redis}}\n")
        self.directory = directory
        self.places = [self._shard(index) for index in (1, 2, 3)]

    @property
    def catalogue(self) -> Catalogue:
        return compose.load([self.directory / "docker-compose.yml"], environment={})

    def merged(self, *indices: int) -> Verdicts:
        return merge([self.places[index - 1] for index in indices], self.catalogue)

    def change(self, index: int, **changes: Any) -> None:
        file = self.places[index - 1] / "verdict.json"
        told = json.loads(file.read_text())
        told |= {key: value for key, value in changes.items() if key in told}
        told["part"] |= {key: value for key, value in changes.items() if key not in told}
        file.write_text(json.dumps(told))

    def history(self, index: int, spoil: Callable[[list[h.Entry]], list[h.Entry]] = lambda entries: entries) -> Path:
        name = PLANNED["experiments"][index - 1]
        place = self.directory / f"shard-{index}" / f"20261127-000000-{name}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "journal.jsonl").unlink(missing_ok=True)
        journal = Journal(place / "journal.jsonl")
        for kind, data in h.change("run", experiment=name)(spoil(h.good())):
            journal.append(kind, **data)
        journal.close()
        return place

    def _shard(self, index: int) -> Path:
        place = self.history(index)
        result = judge(read(place), Path("/elsewhere") / place.name)
        results = [result, contract()] if index == 3 else [result]
        part = shards.described(Shard(index, 3), self.catalogue, PLANNED, (), ("load x",))
        verdicts = gate.conclude(results, 0.0, f"2026-11-27T00:0{index}:00", 30.0)
        (place.parent / "verdict.json").write_text(verdicts.model_copy(update={"part": part}).model_dump_json())
        return place.parent


def contract(verdict: Verdict = Verdict.CONFIRMED) -> Result:
    finding = Finding(check="contract", subject="one", verdict=verdict, expected="e", observed="o")
    return Result(suite="contracts", name="web->shop", title="t", findings=(finding,))


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shards:
    monkeypatch.setattr("gameday.contracts.read_all", lambda _: [])
    return Shards(tmp_path)


def unsure(verdicts: Verdicts) -> list[tuple[str, str]]:
    return [
        (each.subject, f"{each.expected}: {each.observed}")
        for result in verdicts.results
        for each in result.findings
        if each.verdict is Verdict.INCONCLUSIVE
    ]


def test_all_shards_are_one_gate_whatever_their_order_and_place(three: Shards) -> None:
    verdicts = three.merged(3, 1, 2)
    assert (verdicts.verdict, verdicts.exit_code) == (Verdict.CONFIRMED, 0), verdicts
    assert [result.name for result in verdicts.results] == ["cache-down", "search-down", "shop-down", "web->shop"]
    assert verdicts.left_out == ("load x",)
    assert verdicts.started == "2026-11-27T00:01:00"
    assert Path(verdicts.results[0].directory or "").parent == three.places[0]


def test_a_shard_that_is_missing_is_not_green_and_what_it_was_to_run_is_told(three: Shards) -> None:
    verdicts = three.merged(1, 3)
    assert verdicts.exit_code == 3
    assert unsure(verdicts) == [("shard 2/3", "its verdict: none: it crashed, or is not named")]
    assert verdicts.results[-1].findings[0].detail == "not judged: experiments search-down"


@pytest.mark.parametrize("left", ["", "{", None])
def test_a_shard_that_crashed_is_not_green(three: Shards, left: str | None) -> None:
    file = three.places[1] / "verdict.json"
    file.unlink() if left is None else file.write_text(left)
    verdicts = three.merged(1, 2, 3)
    assert verdicts.exit_code == 3
    assert [subject for subject, _ in unsure(verdicts)] == ["shard 2/3"]
    assert any(str(three.places[1]) in line for line in verdicts.left_out)


def test_a_shard_that_is_there_twice_is_refused(three: Shards) -> None:
    with pytest.raises(InputError, match="the shard 2/3 is there twice"):
        three.merged(1, 2, 2, 3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"commit": "another"}, "another commit"),
        ({"catalogue": "another"}, "another catalogue"),
        ({"planned": {"experiments": ["cache-down"]}}, "another planned"),
        ({"of": 4}, "another of"),
        ({"time_scale": 1.0}, "another time_scale"),
        ({"gameday": "0.0"}, "another gameday"),
    ],
)
def test_a_shard_of_another_gate_is_refused(three: Shards, change: dict[str, Any], told: str) -> None:
    three.change(2, **change)
    with pytest.raises(InputError, match=told):
        three.merged(1, 2, 3)


def test_shards_of_other_files_than_stand_here_or_of_another_version_are_refused(three: Shards) -> None:
    for index in (1, 2, 3):
        three.change(index, gameday="0.0")
    (three.directory / "docker-compose.yml").write_text("services: {web: {image: postgres}}\n")
    with pytest.raises(InputError) as refused:
        three.merged(1, 2, 3)
    told = " ".join(problem.message for problem in refused.value.problems)
    assert "gameday 0.0" in told
    assert __version__ in refused.value.problems[0].mend
    assert "other files" in told


def test_a_gate_without_shards_and_no_verdict_at_all_are_refused(three: Shards, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no verdict that can be read"):
        merge([tmp_path / "nowhere"], three.catalogue)
    whole = json.loads((three.places[0] / "verdict.json").read_text()) | {"part": None}
    (three.places[0] / "verdict.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match="no verdict of a shard"):
        three.merged(1, 2, 3)


def test_a_history_is_judged_again_and_one_that_is_gone_is_not_green(three: Shards) -> None:
    three.history(1, h.change("request", h.during(h.IN_FORCE, h.RELEASE), status=500))
    assert three.merged(1, 2, 3).exit_code == 1
    (three.history(1) / "journal.jsonl").unlink()
    verdicts = three.merged(1, 2, 3)
    assert verdicts.exit_code == 3
    assert "no history of a run" in unsure(verdicts)[0][1]


def test_a_thing_without_a_result_is_not_green(three: Shards) -> None:
    three.change(3, results=[json.loads(contract().model_dump_json())])
    assert unsure(three.merged(1, 2, 3)) == [("shard 3/3", "the result of experiments shop-down: none")]
    aside = json.loads(contract().model_copy(update={"findings": (), "facts": {"pending": ["a: b"]}}).model_dump_json())
    three.change(3, results=[], set_aside=[aside])
    verdicts = three.merged(1, 2, 3)
    assert unsure(verdicts) == [("shard 3/3", "the result of experiments shop-down: none")]
    assert "pending: a: b" in verdicts.left_out


def test_a_suite_of_which_no_shard_had_anything_is_not_green(three: Shards) -> None:
    for index in (1, 2, 3):
        three.change(index, planned={**PLANNED, "load": []})
    assert [told for _, told in unsure(three.merged(1, 2, 3))] == ["a judged run: it found nothing to judge"]


def test_what_needs_all_histories_is_judged_over_those_of_all_shards(
    three: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[suites.Record] = []

    def proof(record: suites.Record) -> Any:
        seen.append(record)
        yield contract(Verdict.REFUTED).model_copy(update={"suite": "alerts"})

    monkeypatch.setattr(suites, "PROOFS", {"alerts": proof})
    for index in (1, 2, 3):
        three.change(index, together=["alerts"])
    assert three.merged(1, 2, 3).exit_code == 1
    assert list(seen[0].places) == three.places
    assert seen[0].time_scale == 30.0


def test_a_waiver_is_looked_at_again_where_shards_become_one(three: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    three.history(1, h.change("request", h.during(h.IN_FORCE, h.RELEASE), status=500))
    for until, code in (("2999-01-01", 0), ("2000-01-01", 1)):
        waiver = Waiver.model_validate({"reason": "r", "owner": "o", "until": until})
        monkeypatch.setattr("gameday.experiment.check", lambda *_, waiver=waiver: [waiving("cache-down", waiver)])
        assert three.merged(1, 2, 3).exit_code == code


def waiving(name: str, waiver: Waiver) -> Any:
    return SimpleNamespace(name=name, extension=SimpleNamespace(waiver=waiver, expect=SimpleNamespace(alerts=())))
