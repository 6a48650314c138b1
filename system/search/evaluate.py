"""Measures the search on the items of a database: `DATABASE_URL=... python -m system.search.evaluate`.

Recall@10 is against the ten items whose vectors are nearest by an exact comparison
with all of them; precision@10 is the share of items of the kind that a person meant.
It only reads. Exit code 1 where items are not embedded, or the planner cannot use the index.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from system.kit import database, settings, telemetry
from system.search import embedder, fusion, items, pgvector
from system.search.embedder import Embedder, Vector
from system.search.searcher import DEPTH
from system.search.settings import SearchSettings

TOP = 10
# What people may say who mean a kind of the catalogue but not its name. Most share no word with it.
QUERIES = {
    "sneakers to run a marathon": "Running Shoes",
    "something for my feet on a mountain trek": "Hiking Boots",
    "stay dry when it pours": "Rain Jacket",
    "where to sleep on a trip to the wilderness": "Camping Tent",
    "make cappuccino in the kitchen": "Espresso Machine",
    "cut onions and meat": "Chef's Knife",
    "fry a steak": "Cast Iron Pan",
    "illuminate my workplace in the evening": "Desk Lamp",
    "my back hurts from sitting all day": "Office Chair",
    "input device for programmers": "Mechanical Keyboard",
    "quiet on an airplane": "Noise Cancelling Headphones",
    "hi-fi audio for the lounge": "Bookshelf Speaker",
    "crime story, whodunit": "Mystery Novel",
    "learn how to prepare dinner": "Cookbook",
    "tabletop entertainment for four players": "Board Game",
    "assemble an image on a rainy weekend": "Jigsaw Puzzle",
    "pilates and gymnastics underlay": "Yoga Mat",
    "protect my skull on a bicycle": "Road Bike Helmet",
    "tool to clip shrubs": "Garden Shears",
    "art supplies for landscapes": "Watercolour Set",
}


class NotReadyError(Exception):
    """There is nothing here that could be measured."""


@dataclass(frozen=True)
class Catalogue:
    """`vectors[i]` is that of the item `ids[i]`."""

    titles: Mapping[str, str]
    ids: Sequence[str]
    vectors: NDArray[np.float32]

    def exact(self, vector: Vector) -> list[str]:
        return [self.ids[index] for index in np.argsort(-(self.vectors @ vector), kind="stable")[:TOP]]

    def precision(self, found: Sequence[str], kind: str) -> float:
        return mean(self.titles[item].endswith(kind) for item in found) if found else 0.0


@dataclass(frozen=True)
class Found:
    """What each way of searching finds for one query, best first."""

    exact: list[str]
    index: list[str]
    words: list[str]
    hybrid: list[str]


async def evaluate(url: str, model: Embedder) -> str:
    """The table. Raises NotReadyError."""
    async with database.pool(url, 1) as pool, database.transaction(pool) as connection:
        await connection.execute("SET LOCAL statement_timeout = '30s'")
        catalogue = await _catalogue(connection, model.version)
        await _force_index(connection)
        found = {query: await _search(connection, catalogue, query, model.embed(query)) for query in QUERIES}
    head = (
        f"{len(catalogue.ids)} items, {len(QUERIES)} queries, {model.version}, HNSW with ef_search {pgvector.EF_SEARCH}"
    )
    return "\n".join((head, *_table(catalogue, found)))


async def _catalogue(connection: database.Connection, version: str) -> Catalogue:
    if await items.pending(connection, version, 1):
        raise NotReadyError(f"items are not yet embedded by {version}; search-svc does it when it runs")
    cursor = await connection.execute(
        "SELECT id, title, embedding::text AS vector FROM items JOIN vectors ON id = item_id ORDER BY id"
    )
    rows = await cursor.fetchall()
    if len(rows) < TOP:
        raise NotReadyError(f"there are only {len(rows)} items with vectors in PostgreSQL")
    vectors = np.array([np.fromstring(row["vector"][1:-1], np.float32, sep=",") for row in rows])
    return Catalogue({row["id"]: row["title"] for row in rows}, [row["id"] for row in rows], vectors)


async def _force_index(connection: database.Connection) -> None:
    """A few hundred rows are read through sooner than an index is climbed: the planner would be right to leave it."""
    await connection.execute("SET LOCAL enable_seqscan = off")
    await connection.execute("SET LOCAL enable_bitmapscan = off")
    await connection.execute(f"SET LOCAL hnsw.ef_search = {pgvector.EF_SEARCH}")
    anywhere = pgvector.literal(np.ones(384, np.float32))
    cursor = await connection.execute(f"EXPLAIN {pgvector.NEAREST}", (anywhere, TOP))
    plan = "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())
    if "Index Scan using vectors_embedding" not in plan:
        raise NotReadyError(f"the HNSW index is not used:\n{plan}")


async def _search(connection: database.Connection, catalogue: Catalogue, query: str, vector: Vector) -> Found:
    cursor = await connection.execute(pgvector.NEAREST, (pgvector.literal(vector), DEPTH))
    near = [row["item_id"] for row in await cursor.fetchall()]
    words = await items.matching(connection, query, DEPTH)
    hybrid = list(fusion.fuse([near, words]))
    return Found(catalogue.exact(vector), near[:TOP], words[:TOP], hybrid[:TOP])


def _table(catalogue: Catalogue, found: Mapping[str, Found]) -> list[str]:
    def line(name: str, way: str) -> str:
        answers = [(getattr(each, way), each.exact, QUERIES[query]) for query, each in found.items()]
        recall = mean(len(set(answer) & set(exact)) / TOP for answer, exact, _ in answers)
        precision = mean(catalogue.precision(answer, kind) for answer, _, kind in answers)
        return f"{name:<24}{recall:>11.3f}{precision:>14.3f}"

    return [
        f"{'':<24}{'recall@10':>11}{'precision@10':>14}",
        line("exact vectors", "exact"),
        line("HNSW", "index"),
        line("hybrid", "hybrid"),
        line("words alone (fallback)", "words"),
    ]


def main() -> int:
    told = settings.load(SearchSettings)
    telemetry.setup("search-evaluate", "warning")
    try:
        print(asyncio.run(evaluate(told.database_url, embedder.load(told.model_dir))))
    except (NotReadyError, database.DatabaseDownError, embedder.NoModelError, embedder.CorruptModelError) as error:
        print(f"nothing measured: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
