"""One ranking out of several, by reciprocal rank fusion.

score(d) = sum over rankings of 1 / (k + rank(d)), ranks counted from 1, k = 60:
G. V. Cormack, C. L. A. Clarke, S. Buettcher, "Reciprocal Rank Fusion outperforms
Condorcet and individual Rank Learning Methods", SIGIR 2009, doi:10.1145/1571941.1572114.
It looks at ranks only: a cosine and a count of words have no common scale.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

K = 60


def fuse(rankings: Iterable[Sequence[str]]) -> dict[str, float]:
    """Ids with their scores, best first; of equals the one first seen."""
    scores: dict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] += 1 / (K + rank)
    return dict(sorted(scores.items(), key=lambda scored: -scored[1]))
