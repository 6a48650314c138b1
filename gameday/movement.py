"""Did a series move? The one test behind the check `panels` and `gameday dashboards prove`.

A series moved up where enough consecutive samples under the fault each lie outside the range of the control and

    x - median >= max(3.5 * 1.4826 * MAD, 0.35 * |median|)

with median and MAD (the median distance from the median) of the control; down is the mirror image. 3.5 such standard
deviations are the modified z-score of Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993). The MAD of the
few samples of a control window may be 0 by chance, so that a change of less than a third is never called a movement.
Samples of a series follow from one another, which makes single ones and means err (31 % of pairs without a fault, for
mean +- 3 standard errors): hence the run of consecutive samples, and a rate of false positives beside every proof.
A sample that is missing or no number ends a run: vanishing is not moving.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Direction = Literal["up", "down"]
# None and NaN are gaps.
Values = Sequence[float | None]

SCORE = 3.5
SHARE = 0.35
# From the MAD of a normal distribution to its standard deviation.
_DEVIATION = 1.4826
# Consecutive samples under the fault, and samples of the control, at least.
SAMPLES = 3


@dataclass(frozen=True)
class Movement:
    """From the median of the control to that of `samples` consecutive ones under the fault, in the series' unit."""

    before: float
    after: float
    samples: int

    def __str__(self) -> str:
        return f"{self.before:.3g} to {self.after:.3g} over {self.samples} samples"


def moved(control: Values, fault: Values, direction: Direction, least: int = SAMPLES) -> Movement | None:
    """The longest movement in `direction` over at least `least` consecutive samples of `fault`.

    None where there is none, and where the control has fewer than SAMPLES numbers: `known` tells these apart.
    """
    sign = 1.0 if direction == "up" else -1.0
    before = [sign * value for value in numbers(control)]
    if len(before) < SAMPLES:
        return None
    middle = median(before)
    spread = median(abs(value - middle) for value in before)
    limit = middle + max(SCORE * _DEVIATION * spread, SHARE * abs(middle))

    def beyond(value: float | None) -> bool:
        return value is not None and sign * value >= limit and sign * value > max(before)

    runs = [list(run) for out, run in itertools.groupby(fault, beyond) if out]
    longest = max(runs, key=len, default=[])
    if len(longest) < max(least, SAMPLES):
        return None
    return Movement(median(numbers(control)), median(numbers(longest)), len(longest))


def known(control: Values, fault: Values, least: int = SAMPLES) -> bool:
    """Whether there are numbers enough to tell."""
    return len(numbers(control)) >= SAMPLES and len(numbers(fault)) >= max(least, SAMPLES)


def numbers(values: Values) -> list[float]:
    return [value for value in values if value is not None and not math.isnan(value)]
