"""A purchase log with a structure that a model can find, and a shop to buy in.

Users have a few tastes, items belong to clusters, and some items of each cluster
sell far better than others: what real logs look like, drawn from one seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = (
    "Running Shoes", "Hiking Boots", "Rain Jacket", "Camping Tent", "Espresso Machine",
    "Chef's Knife", "Cast Iron Pan", "Desk Lamp", "Office Chair", "Mechanical Keyboard",
    "Noise Cancelling Headphones", "Bookshelf Speaker", "Mystery Novel", "Cookbook", "Board Game",
    "Jigsaw Puzzle", "Yoga Mat", "Road Bike Helmet", "Garden Shears", "Watercolour Set",
)  # fmt: skip
MAKES = (
    "Alder", "Birch", "Cedar", "Dune", "Ember", "Fjord", "Grove", "Harbour", "Indigo", "Juniper",
    "Kestrel", "Larch", "Meadow", "Nimbus", "Opal", "Pine", "Quartz", "Ridge", "Saffron", "Tundra",
)  # fmt: skip
USERS = 3000
# Shares of purchases made by taste; the rest go to what sells well anywhere.
BY_TASTE = 0.8
FEWEST, MEAN_MORE, MOST = 8, 10, 40


@dataclass(frozen=True)
class Purchases:
    """One row an event: `users[i]` bought `items[i]`, in the order of time.

    `items` index `item_ids` and `titles`, `users` index `user_ids`. Nobody buys the same twice.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    titles: tuple[str, ...]

    def matrix(self) -> NDArray[np.float32]:
        """users x items, 1 where bought."""
        matrix = np.zeros((len(self.user_ids), len(self.item_ids)), np.float32)
        matrix[self.users, self.items] = 1
        return matrix

    def split(self, share: float) -> tuple[Purchases, Purchases]:
        """The log without the last `share` of each user's events, and those events."""
        counts = np.bincount(self.users, minlength=len(self.user_ids))
        position = np.arange(len(self.users)) - (np.cumsum(counts) - counts)[self.users]
        late = position >= counts[self.users] - np.ceil(counts[self.users] * share)
        return self._where(~late), self._where(late)

    def _where(self, chosen: NDArray[np.bool_]) -> Purchases:
        return Purchases(self.users[chosen], self.items[chosen], self.user_ids, self.item_ids, self.titles)


def generate(seed: int) -> Purchases:
    """The log of `USERS` users, sorted by user and then by time; the same for the same seed."""
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(KINDS)), len(MAKES))
    appeal = _appeal(random, len(cluster))
    baskets = [_basket(random, cluster, appeal) for _ in range(USERS)]
    return Purchases(
        users=np.repeat(np.arange(USERS), [len(basket) for basket in baskets]),
        items=np.concatenate(baskets),
        user_ids=tuple(f"user-{number:04}" for number in range(1, USERS + 1)),
        item_ids=tuple(f"item-{number:03}" for number in range(1, len(cluster) + 1)),
        titles=tuple(f"{make} {kind}" for kind in KINDS for make in MAKES),
    )


def _appeal(random: np.random.Generator, items: int) -> NDArray[np.float64]:
    """Popularity by Zipf's law, dealt to the items at random."""
    appeal = np.arange(1, items + 1, dtype=np.float64) ** -0.7
    random.shuffle(appeal)
    shares: NDArray[np.float64] = appeal / appeal.sum()
    return shares


def _basket(random: np.random.Generator, cluster: NDArray[np.int64], appeal: NDArray[np.float64]) -> NDArray[np.int64]:
    tastes = random.choice(len(KINDS), size=random.integers(1, 4), replace=False)
    strength = np.zeros(len(KINDS))
    strength[tastes] = random.dirichlet(np.ones(len(tastes)))
    by_taste = strength[cluster] * appeal
    wanted = BY_TASTE * by_taste / by_taste.sum() + (1 - BY_TASTE) * appeal
    size = min(FEWEST + random.geometric(1 / MEAN_MORE), MOST)
    return random.choice(len(cluster), size=size, replace=False, p=wanted)
