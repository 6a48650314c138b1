"""When a series has moved, and how seldom one does that has not."""

from __future__ import annotations

import math
import random

import pytest

from gameday.movement import Direction, Movement, Values, known, moved

CALM = [10.0, 10.2, 9.8, 10.1, 9.9, 10.0]


@pytest.mark.parametrize(
    ("fault", "direction", "found"),
    [
        ([10, 20, 21, 22, 10], "up", Movement(10.0, 21.0, 3)),
        ([10, 2, 1, 2, 10], "down", Movement(10.0, 2.0, 3)),
        ([10, 20, 21, 22, 10], "down", None),
        ([20, 21, 10, 22, 23], "up", None),  # never three in a row
        ([20, 21, None, 22, 23], "up", None),  # a gap ends a run
        ([20, 21, math.nan, 22, 23], "up", None),
        ([None] * 8, "down", None),  # vanishing is not moving
        ([12, 12, 12, 12], "up", None),  # ten deviations, and a fifth of the median
        ([20, 21, 22, 10, 20, 21, 22, 23], "up", Movement(10.0, 21.5, 4)),  # the longest
    ],
)
def test_movement_is_a_run_of_samples_far_from_the_control(
    fault: Values, direction: Direction, found: Movement | None
) -> None:
    assert moved(CALM, fault, direction) == found


def test_as_many_samples_are_needed_as_are_asked_for() -> None:
    assert moved(CALM, [20.0] * 5, "up", least=6) is None
    assert moved(CALM, [20.0] * 6, "up", least=6)


def test_what_the_control_did_itself_is_no_movement() -> None:
    assert moved([0.0, 0.0, 0.0, 0.0, 5.0], [5.0] * 6, "up") is None
    assert moved([0.0, 0.0, 0.0, 0.0, 5.0], [6.0] * 6, "up")


def test_from_nothing_to_something_is_a_movement() -> None:
    assert moved([0.0, 0.0, 0.0], [0.25] * 3, "up") == Movement(0.0, 0.25, 3)
    assert moved([0.0, 0.0, 0.0], [0.0] * 9, "down") is None


def test_too_few_samples_tell_nothing() -> None:
    assert moved([0.0, 0.0, None], [5.0] * 9, "up") is None
    assert not known([0.0, 0.0, math.nan], [5.0] * 9)
    assert not known(CALM, [5.0] * 5, least=6)
    assert known(CALM, [5.0] * 6, least=6)


def test_series_that_follow_from_themselves_seldom_move_without_a_fault() -> None:
    """AR(1) with rho 0.6 around 0, where no share of the median helps; a test of means errs in 31 % of pairs."""
    dice = random.Random(1)
    series = [_wandering(dice, 16) for _ in range(500)]
    false = sum(moved(each[:6], each[6:], "up", least=6) is not None for each in series)
    assert false < 0.05 * len(series)


def _wandering(dice: random.Random, length: int, rho: float = 0.6) -> list[float]:
    found = [dice.gauss(0, 1)]
    while len(found) < length:
        found.append(rho * found[-1] + math.sqrt(1 - rho * rho) * dice.gauss(0, 1))
    return found
