"""Trains the model, compares it with mere popularity, and registers it.

    python -m system.recommendation.train [--registry DIR] [--seed N]

Exit code 1, and nothing registered, where it does not beat popularity.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from system.recommendation import ease, graph, purchases, registry

DEFAULT_REGISTRY = Path(__file__).parent / "model"
SEED = 20261125
REGULARIZATION = 300.0
HELD_OUT_SHARE = 0.2
TOP = 10
# The model has to be this many times better than popularity.
LEAST_RATIO = 1.2


class NotBetter(Exception):
    """The trained model does not beat the baseline."""


@dataclass(frozen=True)
class Trained:
    version: str
    model_recall: float
    popularity_recall: float
    directory: Path

    @property
    def ratio(self) -> float:
        return self.model_recall / self.popularity_recall


def train(directory: Path = DEFAULT_REGISTRY, seed: int = SEED) -> Trained:
    """Takes about a second. Raises NotBetter before anything is written."""
    log = purchases.generate(seed)
    known, later = log.split(HELD_OUT_SHARE)
    seen, held_out = known.matrix(), later.matrix()
    weights = ease.weights(seen, REGULARIZATION)
    popularity = seen.sum(axis=0)
    version = _version(log, seed)
    trained = Trained(
        version=version,
        model_recall=ease.recall(seen @ weights, seen, held_out, TOP),
        popularity_recall=ease.recall(np.broadcast_to(popularity, seen.shape), seen, held_out, TOP),
        directory=directory / version,
    )
    if trained.ratio < LEAST_RATIO:
        raise NotBetter(f"recall@{TOP} is only {trained.ratio:.2f} of popularity's; {LEAST_RATIO} is the least")
    registry.save(
        directory,
        version,
        {
            "model.onnx": graph.build(weights, version),
            "items.json": _items(log, popularity),
            "histories.npz": _histories(known),
        },
        metrics={
            f"recall@{TOP}": trained.model_recall,
            f"popularity_recall@{TOP}": trained.popularity_recall,
            "ratio": trained.ratio,
        },
        lineage=_lineage(log, seed),
    )
    return trained


def _version(log: purchases.Purchases, seed: int) -> str:
    """Named by what the model is made of, so that the same data gives the same name on every machine."""
    recipe = json.dumps([seed, REGULARIZATION, HELD_OUT_SHARE, graph.OPSET, registry.FORM])
    return "ease-" + hashlib.sha256(recipe.encode() + _digest(log).encode()).hexdigest()[:8]


def _digest(log: purchases.Purchases) -> str:
    return hashlib.sha256(log.users.tobytes() + log.items.tobytes()).hexdigest()


def _items(log: purchases.Purchases, popularity: NDArray[np.float32]) -> bytes:
    share = popularity / len(log.user_ids)
    rows = zip(log.item_ids, log.titles, share.tolist(), strict=True)
    return json.dumps([{"id": id_, "title": title, "popularity": round(part, 6)} for id_, title, part in rows]).encode()


def _histories(log: purchases.Purchases) -> bytes:
    """All histories in one array; that of user i stands from `starts[i]` to `starts[i + 1]`."""
    counts = np.bincount(log.users, minlength=len(log.user_ids))
    buffer = io.BytesIO()
    np.savez(
        buffer,
        user_ids=np.array(log.user_ids),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items=log.items.astype(np.int32),
    )
    return buffer.getvalue()


def _lineage(log: purchases.Purchases, seed: int) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "source": "system.recommendation.purchases",
            "seed": seed,
            "users": len(log.user_ids),
            "items": len(log.item_ids),
            "events": len(log.users),
            "held_out_share": HELD_OUT_SHARE,
            "sha256": _digest(log),
        },
        "trainer": {"algorithm": "EASE", "regularization": REGULARIZATION, "numpy": np.__version__},
        "graph": {"onnx": onnx.__version__, "opset": graph.OPSET},
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m system.recommendation.train", description=__doc__.splitlines()[0])
    parser.add_argument("--registry", type=Path, default=DEFAULT_REGISTRY, help="where models are kept")
    parser.add_argument("--seed", type=int, default=SEED, help="of the purchase log")
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        trained = train(chosen.registry, chosen.seed)
    except NotBetter as error:
        print(f"not registered: {error}", file=sys.stderr)
        return 1
    print(f"recall@{TOP} on held-out events  model {trained.model_recall:.4f}")
    print(f"                            popularity {trained.popularity_recall:.4f}")
    print(f"                                 ratio {trained.ratio:.2f}")
    print(f"registered {trained.directory} in {time.perf_counter() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
