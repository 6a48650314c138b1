"""EASE: a linear item-to-item model with a closed form (Steck 2019, "Embarrassingly Shallow Autoencoders")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def weights(matrix: NDArray[np.float32], regularization: float) -> NDArray[np.float32]:
    """items x items with a zero diagonal: `matrix @ weights` scores every item for every user."""
    gram = (matrix.T @ matrix).astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularization
    inverse = np.linalg.inv(gram)
    learned = -inverse / np.diag(inverse)
    np.fill_diagonal(learned, 0)
    return learned.astype(np.float32)


def recall(scores: NDArray[np.float32], seen: NDArray[np.float32], held_out: NDArray[np.float32], top: int) -> float:
    """The mean over users of the share of held-out items among the `top` unseen ones.

    Divided by what is reachable: a user with 3 held-out items can have at most 3 hits.
    """
    ranked = np.argsort(-np.where(seen > 0, -np.inf, scores), axis=1, kind="stable")[:, :top]
    hits = np.take_along_axis(held_out, ranked, axis=1).sum(axis=1)
    reachable = np.minimum(held_out.sum(axis=1), top)
    return float(np.mean(hits[reachable > 0] / reachable[reachable > 0]))
