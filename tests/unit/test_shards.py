"""Which shard runs what: everything once, by the files alone."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday import agenda, shards, suites
from gameday.catalogue import compose
from gameday.errors import InputError
from gameday.shards import Shard


@given(things=st.lists(st.integers()), of=st.integers(1, 12))
def test_everything_is_in_exactly_one_shard_and_none_has_two_more_than_another(things: list[int], of: int) -> None:
    parts = [Shard(index, of).part(things) for index in range(1, of + 1)]
    assert list(chain.from_iterable(parts)) == things
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_what_is_no_part_of_a_gate_is_refused(text: str) -> None:
    assert Shard.read("2/4") == Shard(2, 4)
    with pytest.raises(InputError) as refused:
        Shard.read(text)
    assert refused.value.problems[0].value == text
    assert "2/4" in refused.value.problems[0].mend


def test_shards_of_a_gate_run_together_what_the_gate_runs_and_say_what_they_leave_to_others() -> None:
    root = Path(__file__).parents[2]
    catalogue = compose.load([root / "docker-compose.yml"], environment={})
    whole = agenda.plan(suites.choose(()), catalogue, False, False, None)
    parts = [whole.part(Shard(index, 3)) for index in (1, 2, 3)]
    for suite in suites.SUITES:
        assert (suite in whole.names) != (suite in suites.PROOFS), f"nobody says what shards can share of {suite}"
    assert [pact for part in parts for pact in part.pacts] == whole.pacts
    assert [each for part in parts for each in part.experiments] == whole.experiments
    assert [each for part in parts for each in part.loads] == whole.loads
    assert not {suite for part in parts for suite in part.suites} & set(suites.PROOFS)
    first = parts[0]
    told = next(line for line in first.left_out if line.startswith("experiments, of other shards: "))
    assert set(told.partition(": ")[2].split(", ")) == {each.name for part in parts[1:] for each in part.experiments}
    assert "alerts: judged when all shards have run, by gameday judge" in first.left_out
    assert set(whole.left_out) <= set(first.left_out)


def test_the_digest_is_of_what_a_gate_reads_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name / "experiments").mkdir(parents=True)
        (tmp_path / name / "docker-compose.yml").write_text("services: {web: {image: redis}}\n")
        (tmp_path / name / "experiments/a.yaml").write_text("title: a\n")

    def digest(name: str) -> str:
        return shards.digest(compose.load([tmp_path / name / "docker-compose.yml"], environment={}))

    assert digest("one") == digest("other")
    (tmp_path / "other/experiments/a.yaml").write_text("title: b\n")
    assert digest("one") != digest("other")
    shutil.move(tmp_path / "one/experiments/a.yaml", tmp_path / "one/experiments/b.yaml")
    assert digest("one") != digest("other")
