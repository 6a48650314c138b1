"""A registered model in memory, ready to answer."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from system.recommendation.device import Choice, NoDeviceError, Runner
from system.recommendation.registry import CorruptModel, Entry

INPUTS = ("interactions", "mask")
OUTPUT = "scores"


@dataclass(frozen=True)
class Scored:
    id: str
    title: str
    score: float


@dataclass(frozen=True)
class Query:
    """What one user bought, as indices of items, and how many others are wanted."""

    history: tuple[int, ...]
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
        self._popularity = np.array([item["popularity"] for item in items], np.float32)
        self._by_popularity = tuple(int(index) for index in np.argsort(-self._popularity, kind="stable"))
        self._index = {id_: number for number, id_ in enumerate(self.item_ids)}
        self._histories = _histories(entry)
        self._runner = Runner(graph, device)
        if self._runner.inputs != set(INPUTS):
            raise CorruptModel(f"{entry.directory}: the graph's inputs are not {', '.join(INPUTS)}")
        self._warm_up()

    @property
    def device(self) -> str:
        return self._runner.device

    def history(self, user: str) -> tuple[int, ...] | None:
        """What the user had bought when the model was trained; None for a user whom it does not know."""
        return self._histories.get(user)

    def indices(self, item_ids: Sequence[str]) -> tuple[int, ...]:
        """The model's numbers of the items; those that it does not know are left out."""
        return tuple(self._index[id_] for id_ in item_ids if id_ in self._index)

    def knows(self, item_id: str) -> bool:
        return item_id in self._index

    def popular(self, limit: int, without: Sequence[int] = ()) -> list[Scored]:
        """What sells best, scored by the share of users who bought it."""
        taken = set(without)
        chosen = [index for index in self._by_popularity if index not in taken][:limit]
        return [self._scored(index, float(self._popularity[index])) for index in chosen]

    def predict(self, queries: Sequence[Query]) -> list[list[Scored]]:
        """The best unseen items of each query, best first. One run of the graph for all of them."""
        interactions = np.zeros((len(queries), len(self.item_ids)), np.float32)
        for row, query in enumerate(queries):
            interactions[row, list(query.history)] = 1
        scores = self._scores(interactions)
        return [self._best(row, query.limit) for row, query in zip(scores, queries, strict=True)]

    def _scores(self, interactions: NDArray[np.float32]) -> NDArray[np.float32]:
        feeds = {"interactions": interactions, "mask": 1 - interactions}
        return self._runner.run(feeds, OUTPUT)

    def _best(self, scores: NDArray[np.float32], limit: int) -> list[Scored]:
        ranked = np.argsort(-scores, kind="stable")[:limit]
        return [self._scored(int(index), float(scores[index])) for index in ranked if np.isfinite(scores[index])]

    def _scored(self, index: int, score: float) -> Scored:
        return Scored(self.item_ids[index], self._titles[index], round(score, 6))

    def _warm_up(self) -> None:
        """The first run allocates; a first user must not wait for it, and a broken graph must not reach one."""
        first = self._scores(np.eye(1, len(self.item_ids), dtype=np.float32))
        if first.shape != (1, len(self.item_ids)) or not np.isfinite(first[0, 1:]).all():
            raise CorruptModel(f"{self.version}: the graph does not score {len(self.item_ids)} items")


def _items(entry: Entry) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(entry.read("items.json"))
    return items


def _histories(entry: Entry) -> dict[str, tuple[int, ...]]:
    stored = np.load(io.BytesIO(entry.read("histories.npz")), allow_pickle=False)
    items, starts = stored["items"].tolist(), stored["starts"].tolist()
    users = stored["user_ids"].tolist()
    return {user: tuple(items[starts[row] : starts[row + 1]]) for row, user in enumerate(users)}
