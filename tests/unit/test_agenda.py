"""What a gate is to run of the reference system, and what it says that it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday import agenda, alerts, suites
from gameday.catalogue import Catalogue, compose

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment={})


def planned(catalogue: Catalogue, *named: str, everything: bool = False) -> agenda.Agenda:
    return agenda.plan(suites.choose(list(named)), catalogue, bool(named), everything, None)


def test_an_alert_for_a_gate_of_all_experiments_is_left_out_of_an_ordinary_one_and_told(catalogue: Catalogue) -> None:
    seldom = alerts.promised(catalogue).seldom
    told = {line.split(":")[0] for line in planned(catalogue).left_out if line.startswith("alert ")}
    assert told == {f"alert {name}" for name in seldom} and seldom
    assert not [line for line in planned(catalogue, everything=True).left_out if line.startswith("alert ")]


def test_the_experiments_of_a_gate_are_the_same_ones_whether_its_alerts_are_asked_for_or_not(
    catalogue: Catalogue,
) -> None:
    whole, alone = planned(catalogue), planned(catalogue, "experiments")
    assert [each.name for each in alone.experiments] == [each.name for each in whole.experiments]
