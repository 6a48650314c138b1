"""The few statistics that verdicts rest on."""

from __future__ import annotations

import math
from collections.abc import Sequence

# Two-sided 95 % of the normal distribution.
_Z = 1.959963984540054
# A 99th percentile of fewer observations is their maximum by another name.
P99_MINIMUM = 100


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, after Wilson (1927). Never outside [0, 1]; n must be positive."""
    share = hits / n
    centre = (share + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return low, high


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest observed value that at least a share `q` of `values` does not exceed."""
    ordered = sorted(values)
    return ordered[_rank(len(ordered), q) - 1]


def quantile_interval(values: Sequence[float], q: float) -> tuple[float, float]:
    """The 95 % interval of a quantile from the ranks of its neighbours (binomial, normal approximation)."""
    ordered = sorted(values)
    n = len(ordered)
    spread = _Z * math.sqrt(n * q * (1 - q))
    low = max(1, math.floor(n * q - spread))
    high = min(n, math.ceil(n * q + spread) + 1)
    return ordered[low - 1], ordered[high - 1]


def _rank(n: int, q: float) -> int:
    return min(n, max(1, math.ceil(n * q - 1e-9)))
