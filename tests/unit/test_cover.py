"""The covering set of the gate, on the experiments of the reference system."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from gameday import alerts, experiment
from gameday.catalogue import Catalogue, compose
from gameday.cover import Cover, cover, covers, ordered
from gameday.experiment import Experiment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment={})


@pytest.fixture(scope="module")
def experiments(catalogue: Catalogue) -> list[Experiment]:
    return experiment.check(experiment.files(ROOT), catalogue)


def named(experiments: list[Experiment], name: str) -> Experiment:
    return next(each for each in experiments if each.name == name)


def names(found: Cover) -> list[str]:
    return [each.name for each in found.chosen]


def test_an_experiment_covers_its_faults_all_edges_that_they_break_its_breakers_and_alerts(
    catalogue: Catalogue, experiments: list[Experiment]
) -> None:
    down = covers(named(experiments, "recommendation-down"), catalogue)
    assert down >= {
        "faults of services",
        "edge api-gateway->recommendation-svc",
        "breaker api-gateway->recommendation-svc",
        "alert RecommendationUnavailable",
    }
    assert "alert HomepageUnavailable" not in down  # silent: nothing was proven of it
    database = covers(named(experiments, "postgres-down"), catalogue)
    assert {"edge user-svc->postgres", "edge search-svc->postgres"} <= database
    slow = covers(named(experiments, "accounts-database-slow"), catalogue)
    assert slow == {"faults of edges", "edge user-svc->postgres", "alert AccountsUnavailable"}


def test_the_few_cover_what_all_cover_and_each_other_one_is_named(
    catalogue: Catalogue, experiments: list[Experiment]
) -> None:
    found = cover(experiments, catalogue, most=100)
    everything = set().union(*(covers(each, catalogue) for each in experiments))
    assert set().union(*(covers(each, catalogue) for each in found.chosen)) == everything
    assert len(found.chosen) < len(experiments) / 2
    left = {each.name for each in experiments} - set(names(found))
    assert {line.split()[1].rstrip(":") for line in found.left_out} == left
    assert all("others break what it breaks" in line for line in found.left_out)


def test_where_there_is_no_time_for_all_every_alert_is_heard_and_what_is_not_broken_is_named(
    catalogue: Catalogue, experiments: list[Experiment]
) -> None:
    seldom = alerts.promised(catalogue).seldom
    found = cover(experiments, catalogue, seldom=seldom)
    broken = set().union(*(covers(each, catalogue) for each in found.chosen))
    missed = set().union(*(covers(each, catalogue) for each in experiments)) - broken
    assert missed
    unheard = {each.removeprefix("alert ") for each in missed if each.startswith("alert ")}
    assert unheard == seldom and unheard
    assert not [each for each in missed if each.startswith("faults of ")]
    assert all(any(each in line for line in found.left_out) for each in missed if not each.startswith("alert "))


def test_no_experiment_is_chosen_for_an_alert_that_others_hear(
    catalogue: Catalogue, experiments: list[Experiment]
) -> None:
    three = [named(experiments, name) for name in ("accounts-down", "search-down", "postgres-down")]
    assert names(cover(three, catalogue, most=1)) == ["postgres-down"]


def test_the_same_ones_are_chosen_whatever_their_order(catalogue: Catalogue, experiments: list[Experiment]) -> None:
    assert names(cover(experiments[::-1], catalogue)) == names(cover(experiments, catalogue))
    twins = [replace(experiments[0], name=name) for name in ("b", "a")]
    assert names(cover(twins, catalogue)) == ["a"]


def test_an_experiment_that_alone_moves_a_panel_is_chosen(catalogue: Catalogue, experiments: list[Experiment]) -> None:
    other = cover(experiments, catalogue, most=100).left_out[0].split()[1].rstrip(":")
    assert other in names(cover(experiments, catalogue, {other: {("board", "A panel")}}, most=100))


def test_an_alert_that_need_not_be_heard_makes_no_experiment_a_chosen_one(
    catalogue: Catalogue, experiments: list[Experiment]
) -> None:
    late = "llm-first-word-late"
    assert late in names(cover(experiments, catalogue, most=20))
    assert late not in names(cover(experiments, catalogue, seldom={"FirstWordLate"}, most=20))


def test_what_there_is_no_time_for_says_what_is_not_covered(
    catalogue: Catalogue, experiments: list[Experiment]
) -> None:
    some = [named(experiments, name) for name in ("search-down", "recommendation-down")]
    found = cover(some, catalogue, most=1)
    most, least = sorted(some, key=lambda each: (-len(covers(each, catalogue)), each.name))
    assert names(found) == [most.name]
    (line,) = found.left_out
    assert line.startswith(f"experiment {least.name}: no time; nothing else covers alert ")


def test_experiments_of_one_load_follow_one_another(experiments: list[Experiment]) -> None:
    loads = [each.load.name for each in ordered(experiments[::-1])]
    assert len({*loads}) > 1
    assert [load for index, load in enumerate(loads) if load not in loads[:index]] == sorted({*loads})
    assert sum(before != after for before, after in pairwise(loads)) == len({*loads}) - 1
