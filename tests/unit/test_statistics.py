"""The statistics, against values from the literature and against their own definition."""

from __future__ import annotations

import random

import pytest

from gameday.statistics import quantile, quantile_interval, wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 500, 0.0, 0.00763), (1, 10, 0.0179, 0.4042), (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)],
)
def test_wilson(hits: int, n: int, low: float, high: float) -> None:
    """The last two are from Newcombe, Statistics in Medicine 17 (1998), table I."""
    assert wilson(hits, n) == pytest.approx((low, high), abs=1e-4)


def test_wilson_stays_inside() -> None:
    assert wilson(10, 10)[1] == 1.0
    assert all(0 <= bound <= 1 for hits in range(8) for bound in wilson(hits, 7))


def test_quantile_is_an_observed_value() -> None:
    values = list(range(1, 101))
    random.Random(1).shuffle(values)
    assert quantile(values, 0.99) == 99
    assert quantile(values, 0.5) == 50
    assert quantile([7.0], 0.99) == 7.0
    assert quantile(values, 1.0) == 100


def test_quantile_interval_covers_the_truth() -> None:
    """p99 of the uniform distribution is 0.99; an interval of 95 % misses it in about one case of 20."""
    source = random.Random(3)
    hits = 0
    for _ in range(300):
        low, high = quantile_interval([source.random() for _ in range(600)], 0.99)
        hits += low <= 0.99 <= high
    assert hits / 300 > 0.92
