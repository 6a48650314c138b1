"""How long after a purchase are its buyer's recommendations without what was bought?

    python bench/updated.py [--purchases 50] [--json]

In the whole system: the purchase goes into user-svc's outbox, over the bus to recommendation-svc, and drops the kept
answers. Measured is the time from the acknowledged purchase to the first answer that lacks the item, asked of
recommendation-svc every 10 ms.
Example: python bench/updated.py --purchases 20
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/e2e"))

import httpx
from program import TIME_SCALE, Gameday, gameday_in_new_state
from purchases import Member, joined
from rich.console import Console
from rich.table import Table

EVERY_SECONDS, AT_MOST_SECONDS = 0.01, 30.0


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--purchases", type=int, default=50)
    made.add_argument("--json", action="store_true", help="print JSON in place of the table")
    arguments = made.parse_args()
    with gameday_in_new_state() as gameday:
        gameday.run("up", "--time-scale", TIME_SCALE)
        took = asyncio.run(measured(gameday, arguments.purchases))
    found = {"median": statistics.median(took), "p95": statistics.quantiles(took, n=20)[-1], "longest": max(took)}
    if arguments.json:
        print(json.dumps({"unit": "ms", "purchases": len(took), **found}, indent=2))
    else:
        table = Table("", "ms", title=f"From a purchase to recommendations without it, {len(took)} purchases")
        for name, value in found.items():
            table.add_row(name, f"{value:,.0f}")
        Console(width=100).print(table)
    return 0


async def measured(gameday: Gameday, purchases: int) -> list[float]:
    """Milliseconds of each; the first, for which connections are made, is left out."""
    urls = {name: str(gameday.services()[name]["url"]) for name in ("user-svc", "recommendation-svc")}
    async with (
        httpx.AsyncClient(base_url=urls["user-svc"], trust_env=False) as users,
        httpx.AsyncClient(base_url=urls["recommendation-svc"], trust_env=False) as recommending,
    ):
        took = []
        for number in range(purchases + 1):
            member = await joined(users, number, 1)
            wanted = {"userId": member.id, "itemIds": ["item-041"]}
            (await recommending.post("/preferences", json=wanted)).raise_for_status()
            took.append(await bought(users, recommending, member))
        return took[1:]


async def bought(users: httpx.AsyncClient, recommending: httpx.AsyncClient, member: Member) -> float:
    item = (await recommended(recommending, member))[0]
    headers = {"authorization": f"Bearer {member.token}"}
    (await users.post("/users/me/purchases", json={"itemId": item}, headers=headers)).raise_for_status()
    began = time.monotonic()
    while item in await recommended(recommending, member):
        if time.monotonic() - began > AT_MOST_SECONDS:
            raise SystemExit(f"{item} is recommended {AT_MOST_SECONDS:g} s after it was bought")
        await asyncio.sleep(EVERY_SECONDS)
    return (time.monotonic() - began) * 1000


async def recommended(recommending: httpx.AsyncClient, member: Member) -> list[str]:
    answer = await recommending.post("/recommend", json={"userId": member.id, "limit": 5})
    return [item["id"] for item in answer.raise_for_status().json()["items"]]


if __name__ == "__main__":
    sys.exit(main())
