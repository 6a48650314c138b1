"""Are purchases lost or doubled while everything that they pass through is killed in turn?

    python bench/purchases.py [--purchases 10000] [--seed 1] [--json]

Members buy through the gateway, each purchase with a key of its own, and try again until it is acknowledged. Meanwhile
user-svc, notification-svc, recommendation-svc, rabbitmq, postgres and store are killed in turn at seeded moments, for
seeded times. Then it counts: what was acknowledged must stand once in the accounts' database, once in what
recommendation-svc remembers of its buyer, and be one mail. Exits with 1 where anything is lost or doubled.
Example: python bench/purchases.py --purchases 1000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/e2e"))

import httpx
import psycopg
import redis
from program import TIME_SCALE, Gameday, gameday_in_new_state, until
from rich.console import Console
from rich.table import Table

from gameday.runtime import procfs
from system.recommendation.bought import bought_key

KILLED = ("user-svc", "notification-svc", "recommendation-svc", "rabbitmq", "postgres", "store")
# Of a shop with 400 items everybody buys each at most once.
MEMBERS, ITEMS = 100, 400
AT_ONCE = 8
RUN = "bench-purchases"
# The database of recommendation-svc in `store`.
REMEMBERED = 3
# Real seconds between an undo and the next kill, and of a kill.
PAUSE, HELD = (1.0, 4.0), (0.5, 3.0)
TRIED_SECONDS, SETTLED_SECONDS, STILL_SECONDS = 180.0, 300.0, 5.0
ACKNOWLEDGED = {200, 201}


@dataclass
class Member:
    id: str
    email: str
    token: str
    items: list[str]


@dataclass
class Found:
    """Of all members' items, in one place: those that are not there, and those that are there more than once."""

    lost: int = 0
    doubled: int = 0


@dataclass
class Told:
    """What came of it."""

    acknowledged: int = 0
    tried_again: int = 0
    seconds: float = 0.0
    mails_sent_again: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    places: dict[str, Found] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return bool(self.places) and all(found == Found() for found in self.places.values())


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--purchases", type=int, default=10_000, help=f"at most {MEMBERS * ITEMS}")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--json", action="store_true", help="print JSON in place of the table")
    arguments = made.parse_args()
    if not 0 < arguments.purchases <= MEMBERS * ITEMS:
        made.error(f"--purchases has to be between 1 and {MEMBERS * ITEMS}")
    with gameday_in_new_state() as gameday:
        gameday.run("up", "--wire", "all", "--time-scale", TIME_SCALE)
        members, told = asyncio.run(bought(gameday, arguments.purchases, random.Random(arguments.seed)))
        counted(gameday, members, told)
    print(json.dumps(asdict(told), indent=2)) if arguments.json else show(told)
    return int(not told.whole)


async def bought(gameday: Gameday, purchases: int, moments: random.Random) -> tuple[list[Member], Told]:
    told = Told()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{gameday.port}/api/users", timeout=10, trust_env=False
    ) as http:
        # Past the gateway, which counts how many accounts are opened from one address.
        async with httpx.AsyncClient(base_url=str(gameday.services()["user-svc"]["url"]), trust_env=False) as own:
            members = [await joined(own, number, purchases) for number in range(min(MEMBERS, purchases))]
        wanted = [(member, item) for member in members for item in member.items]
        moments.shuffle(wanted)
        began, over = time.monotonic(), asyncio.Event()
        killing = asyncio.create_task(kill(gameday, moments, told, over))

        async def buyer() -> None:
            while wanted:
                await buy(http, *wanted.pop(), told)
                if told.acknowledged % 500 == 0:
                    print(
                        f"{told.acknowledged} of {purchases} acknowledged, {sum(told.kills.values())} kills",
                        file=sys.stderr,
                    )

        await asyncio.gather(*(buyer() for _ in range(AT_ONCE)))
        told.seconds = round(time.monotonic() - began, 1)
        over.set()
        await killing
    return members, told


async def joined(http: httpx.AsyncClient, number: int, purchases: int) -> Member:
    account = {"email": f"buyer-{number}@example.org", "password": "nobody guesses this"}
    profile = (await http.post("/users", json={**account, "name": "A buyer"})).raise_for_status().json()
    token = (await http.post("/users/login", json=account)).raise_for_status().json()["access_token"]
    count = purchases // MEMBERS + (number < purchases % MEMBERS)
    return Member(profile["id"], account["email"], token, [f"item-{item:03}" for item in range(1, count + 1)])


async def buy(http: httpx.AsyncClient, member: Member, item: str, told: Told) -> None:
    """Until it is acknowledged, always under the same key."""
    headers = {"authorization": f"Bearer {member.token}", "idempotency-key": str(uuid.uuid4())}
    ends = time.monotonic() + TRIED_SECONDS
    while True:
        try:
            answer = await http.post("/me/purchases", json={"itemId": item}, headers=headers)
            if answer.status_code in ACKNOWLEDGED:
                told.acknowledged += 1
                return
            if answer.status_code < 500 and answer.status_code != 429:
                raise SystemExit(f"a purchase was refused: {answer.status_code} {answer.text}")
        except httpx.TransportError:
            pass
        if time.monotonic() > ends:
            raise SystemExit(f"a purchase was not acknowledged in {TRIED_SECONDS:g} s")
        told.tried_again += 1
        await asyncio.sleep(0.2)


async def kill(gameday: Gameday, moments: random.Random, told: Told, over: asyncio.Event) -> None:
    """One after another, in turn, until all is bought; each at least once."""
    owner = procfs.identify(os.getpid())
    assert owner
    turn = 0
    while not over.is_set() or turn < len(KILLED):
        target = KILLED[turn % len(KILLED)]
        await asyncio.sleep(moments.uniform(*PAUSE))
        asked = {"fault": "kill", "target": target, "arguments": {}, "ttl": 60.0, "run": RUN, "owner": asdict(owner)}
        held = await asyncio.to_thread(gameday.call, "inject", **asked, timeout=60.0)
        assert held["state"] == "in-force", held
        await asyncio.sleep(moments.uniform(*HELD))
        await asyncio.to_thread(gameday.call, "undo", run=RUN, timeout=120.0)
        told.kills[target] = told.kills.get(target, 0) + 1
        turn += 1


def counted(gameday: Gameday, members: list[Member], told: Told) -> None:
    """Once everything has come to rest; a while longer, for what comes twice."""
    until(gameday.healthy, 60, "all services are healthy")
    ends = time.monotonic() + SETTLED_SECONDS
    look(gameday, members, told)
    while not told.whole and time.monotonic() < ends:
        time.sleep(1)
        look(gameday, members, told)
    time.sleep(STILL_SECONDS)
    look(gameday, members, told)


def look(gameday: Gameday, members: list[Member], told: Told) -> None:
    where = {name: str(each["url"]).rpartition("/")[2] for name, each in gameday.services().items()}
    with psycopg.connect(f"postgresql://postgres:postgres@{where['postgres']}/users") as database:
        rows = database.execute("SELECT user_id::text, item_id FROM purchases").fetchall()
    host, _, port = where["store"].rpartition(":")
    with redis.Redis(host, int(port), db=REMEMBERED, decode_responses=True) as store:
        bought = [(each.id, item) for each in members for item in store.zrange(bought_key(each.id), 0, -1)]
    with httpx.Client(base_url=f"http://{where['mail-sink']}", trust_env=False) as sink:
        mails = [(each.id, item) for each in members for item in mailed(sink, each)]
        told.mails_sent_again = sink.get("/counts").json()["repeated"]
    wanted = {(each.id, item) for each in members for item in each.items}
    places = {"rows in the accounts' database": rows, "items that their buyer is known to have": bought, "mails": mails}
    told.places = {
        name: Found(len(wanted - set(found)), len(found) - len(set(found))) for name, found in places.items()
    }


def mailed(sink: httpx.Client, member: Member) -> list[str]:
    """The items of the member's mails."""
    found = sink.get("/mails", params={"to": member.email, "limit": ITEMS}).json()
    return [mail["subject"].removeprefix("Your purchase of ") for mail in found]


def show(told: Told) -> None:
    kills = ", ".join(f"{name} {count}" for name, count in told.kills.items())
    title = f"{told.acknowledged:,} purchases acknowledged in {told.seconds:g} s; kills: {kills}"
    table = Table("", "lost", "doubled", title=title)
    for name, found in told.places.items():
        table.add_row(name, str(found.lost), str(found.doubled))
    Console(width=120).print(table)
    print(f"Tried again: {told.tried_again} times; mails that came again and were kept once: {told.mails_sent_again}.")


if __name__ == "__main__":
    sys.exit(main())
