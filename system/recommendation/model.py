"""A registered model in memory, ready to answer."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from system.recommendation.device import Choice, NoDeviceError, Runner, Tensor
from system.recommendation.registry import CorruptModel, Entry

INPUTS = {"interactions", "limit"}
OUTPUTS = ("items", "scores")
DECIMALS = 6
NOTHING = np.empty(0, np.int32)

Indices = NDArray[np.int32]


# Not frozen: ten are made for each answer, and freezing them would cost thrice as much.
@dataclass(slots=True)
class Scored:
    id: str
    title: str
    score: float


class Query(NamedTuple):
    """What one user has, as indices of items, and how many others are wanted."""

    history: Indices
    limit: int


def load(entry: Entry, device: Choice = "cpu") -> Model:
    """Raises CorruptModel where the files are not what was registered, or do not answer a first question.

    Raises NoDeviceError where the device that was asked for cannot run the graph.
    """
    try:
        return Model(entry, device)
    except (CorruptModel, NoDeviceError):
        raise
    except Exception as error:  # whatever a file makes its reader say
        raise CorruptModel(f"{entry.directory}: {type(error).__name__}: {error}") from error


class Model:
    def __init__(self, entry: Entry, device: Choice) -> None:
        self.version = entry.version
        graph = entry.read("model.onnx")
        items = _items(entry)
        self.item_ids = tuple(str(item["id"]) for item in items)
        self._titles = tuple(str(item["title"]) for item in items)
        self._popular = _by_popularity(items)
        self._index = {id_: number for number, id_ in enumerate(self.item_ids)}
        self._histories = _histories(entry)
        self._runner = Runner(graph, device)
        if self._runner.inputs != INPUTS:
            raise CorruptModel(f"{entry.directory}: the graph's inputs are not {', '.join(sorted(INPUTS))}")
        self._warm_up()

    @property
    def device(self) -> str:
        return self._runner.device

    def history(self, user: str, likes: Sequence[str] = ()) -> Indices:
        """What the user had when the model was trained and what they like since; what it does not know is left out."""
        had = self._histories.get(user, NOTHING)
        if not likes:
            return had
        liked = [self._index[id_] for id_ in likes if id_ in self._index]
        return np.concatenate((had, np.array(liked, np.int32)))

    def knows(self, item_id: str) -> bool:
        return item_id in self._index

    def popular(self, limit: int) -> list[Scored]:
        """What sells best, scored by the share of users who bought it."""
        return self._popular[:limit]

    def predict(self, queries: Sequence[Query]) -> list[list[Scored]]:
        """The best unseen items of each query, best first. One run of the graph for all of them."""
        most = min(max(query.limit for query in queries), len(self.item_ids))
        items, scores = self._best(self._interactions(queries), most)
        # What a user has scores -inf, last of all; it is there only where nothing else is left.
        unseen = np.isfinite(scores).sum(axis=1).tolist()
        wanted = [min(query.limit, left) for query, left in zip(queries, unseen, strict=True)]
        rows = zip(wanted, items.tolist(), scores.round(DECIMALS).tolist(), strict=True)
        return [self._scored(items[:count], scores[:count]) for count, items, scores in rows]

    def _interactions(self, queries: Sequence[Query]) -> NDArray[np.float32]:
        interactions = np.zeros((len(queries), len(self.item_ids)), np.float32)
        rows = np.repeat(np.arange(len(queries)), [len(query.history) for query in queries])
        interactions[rows, np.concatenate([query.history for query in queries])] = 1
        return interactions

    def _best(self, interactions: NDArray[np.float32], limit: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        feeds: dict[str, Tensor] = {"interactions": interactions, "limit": np.array([limit], np.int64)}
        items, scores = self._runner.run(feeds, OUTPUTS)
        # In 64 bits a score keeps the decimals that it is rounded to.
        return items, scores.astype(np.float64)

    def _scored(self, items: Sequence[int], scores: Sequence[float]) -> list[Scored]:
        ids, titles = self.item_ids, self._titles
        return [Scored(ids[item], titles[item], score) for item, score in zip(items, scores, strict=True)]

    def _warm_up(self) -> None:
        """The first run allocates; a first user must not wait for it, and a broken graph must not reach one."""
        count = len(self.item_ids)
        items, scores = self._best(np.eye(1, count, dtype=np.float32), count)
        if sorted(items[0].tolist()) != list(range(count)) or not np.isfinite(scores[0, :-1]).all():
            raise CorruptModel(f"{self.version}: the graph does not rank {count} items")


def _items(entry: Entry) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(entry.read("items.json"))
    return items


def _by_popularity(items: Sequence[Mapping[str, Any]]) -> list[Scored]:
    known = [Scored(str(item["id"]), str(item["title"]), float(item["popularity"])) for item in items]
    return sorted(known, key=lambda item: -item.score)


def _histories(entry: Entry) -> dict[str, Indices]:
    stored = np.load(io.BytesIO(entry.read("histories.npz")), allow_pickle=False)
    parts = np.split(stored["items"].astype(np.int32), stored["starts"][1:-1])
    return dict(zip(stored["user_ids"].tolist(), parts, strict=True))
