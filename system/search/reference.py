"""MiniLM in plain numpy: slow, short, and written independently of the graph that it checks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from system.search.graph import Shape, Weights

Array = NDArray[np.float64]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def embed(tokens: list[int], weights: Weights, shape: Shape) -> Array:
    """The unit vector of one text, given as its token ids, in double precision."""
    w = {name: weight.astype(np.float64) for name, weight in weights.items() if "word_embeddings" not in name}
    x = weights["embeddings.word_embeddings.weight"][tokens].astype(np.float64)
    x = x + w["embeddings.position_embeddings.weight"][: len(tokens)] + w["embeddings.token_type_embeddings.weight"][0]
    x = _layer_norm(x, w, "embeddings.LayerNorm", shape.epsilon)
    for number in range(shape.layers):
        x = _layer(x, w, f"encoder.layer.{number}", shape)
    mean = x.mean(axis=0)
    unit: Array = mean / np.linalg.norm(mean)
    return unit


def _layer(x: Array, w: dict[str, Array], name: str, shape: Shape) -> Array:
    own = f"{name}.attention.self"
    q, k, v = (_dense(x, w, f"{own}.{part}") for part in ("query", "key", "value"))
    size = x.shape[1] // shape.heads
    columns = [slice(head * size, (head + 1) * size) for head in range(shape.heads)]
    mixed = np.hstack([_softmax(q[:, c] @ k[:, c].T / math.sqrt(size)) @ v[:, c] for c in columns])
    x = _layer_norm(x + _dense(mixed, w, f"{name}.attention.output.dense"), w, f"{name}.attention.output.LayerNorm",
                    shape.epsilon)  # fmt: skip
    wide = _dense(x, w, f"{name}.intermediate.dense")
    wide = wide * 0.5 * (1 + _erf(wide / math.sqrt(2)))
    return _layer_norm(x + _dense(wide, w, f"{name}.output.dense"), w, f"{name}.output.LayerNorm", shape.epsilon)


def _dense(x: Array, w: dict[str, Array], name: str) -> Array:
    y: Array = x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    return y


def _layer_norm(x: Array, w: dict[str, Array], name: str, epsilon: float) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    y: Array = centred / np.sqrt(variance + epsilon) * w[f"{name}.weight"] + w[f"{name}.bias"]
    return y


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = e / e.sum(axis=-1, keepdims=True)
    return y
