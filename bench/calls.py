"""REST against gRPC: the same question to the same recommendation-svc, from the same program.

    python bench/calls.py [--rounds 5] [--seconds 2] [--json]

16 callers ask for ten items, each as soon as it has its answer; then one caller alone, for the time of one call. The
service has one core for itself and keeps its answers in Redis, so that what differs is how it is asked.
Example: python bench/calls.py --rounds 3
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from gateway import SAMPLED, parser, redis
from grpc import aio
from pyreqwest.client import ClientBuilder
from rich.console import Console
from rich.table import Table
from stack import MEASURED_CORE, Pinned, Rounds, Stack, free_port, stack

from system.recommendation._gen import recommendation_pb2 as messages

CALLERS = 16
METHOD = "/gameday.recommendation.v1.Recommendations/GetRecommendations"
Ask = Callable[[str], Awaitable[object]]


@dataclass
class Contestant:
    """`waits` and `costs` are of each round: µs of one call made alone, and of the service's processor per call."""

    server: Pinned
    client: Callable[[], AsyncIterator[Ask]]
    waits: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def measure(self, seconds: float) -> float:
        """Calls a second of all callers."""
        before = self.server.cpu_seconds()
        calls, alone, own = asyncio.run(self._run(seconds))
        self.waits.append(alone)
        self.costs.append((own - before) / calls * 1e6)
        return calls / seconds

    async def _run(self, seconds: float) -> tuple[int, float, float]:
        async with asynccontextmanager(self.client)() as ask:
            count, ends = 0, time.perf_counter() + seconds

            async def caller(user: str) -> None:
                nonlocal count
                while time.perf_counter() < ends:
                    await ask(user)
                    count += 1

            await asyncio.gather(*(caller(f"u{number}") for number in range(CALLERS)))
            spent = self.server.cpu_seconds()
            took = []
            for _ in range(200):
                began = time.perf_counter()
                await ask("u1")
                took.append(time.perf_counter() - began)
        return count, statistics.median(took) * 1e6, spent


def main() -> int:
    arguments = parser(__doc__).parse_args()
    with stack() as made:
        server, rest_port, grpc_port = service(made)
        contestants = {
            "REST": Contestant(server, lambda: rest(rest_port)),
            "gRPC": Contestant(server, lambda: grpc(grpc_port)),
        }
        rounds = compared(contestants, arguments.rounds, arguments.seconds)
    if arguments.json:
        print(rounds.json("gRPC"))
    else:
        ratio = rounds.ratio("gRPC", "REST")
        show(rounds, contestants, f"{CALLERS} callers; gRPC makes {ratio:.2f} times the calls of REST")
    return 0


def compared(contestants: dict[str, Contestant], rounds: int, seconds: float) -> Rounds:
    """Each warmed first."""
    for each in contestants.values():
        each.measure(0.5)
    return Rounds({name: partial(each.measure, seconds) for name, each in contestants.items()}, rounds, "calls/s")


def show(rounds: Rounds, contestants: dict[str, Contestant], title: str) -> None:
    table = Table("", "calls/s", "µs, one caller alone", "µs of the service's CPU", title=title)
    for name, each in contestants.items():
        waits, costs = statistics.median(each.waits), statistics.median(each.costs)
        table.add_row(name, f"{rounds.median(name):,.0f}", f"{waits:,.0f}", f"{costs:,.0f}")
    Console(width=100).print(table)


def service(made: Stack) -> tuple[Pinned, int, int]:
    rest_port, grpc_port, store = free_port(), free_port(), redis(made)
    environment = {
        "PORT": str(rest_port),
        "GRPC_PORT": str(grpc_port),
        "CACHE_URL": f"redis://127.0.0.1:{store}/0",
        "STORE_URL": f"redis://127.0.0.1:{store}/1",
        SAMPLED: "0.1",
    }
    command = [sys.executable, "-m", "system.recommendation"]
    return made.start("recommendation", command, rest_port, MEASURED_CORE, **environment), rest_port, grpc_port


async def rest(port: int) -> AsyncIterator[Ask]:
    async with ClientBuilder().max_connections(CALLERS).no_proxy().http1_only().tcp_nodelay(True).build() as client:

        async def ask(user: str) -> object:
            asked = client.post(f"http://127.0.0.1:{port}/recommend").body_json({"userId": user, "limit": 10})
            answer = await asked.build().send()
            assert answer.status == 200
            return await answer.json()

        yield ask


async def grpc(port: int) -> AsyncIterator[Ask]:
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(
            METHOD,
            request_serializer=messages.GetRecommendationsRequest.SerializeToString,
            response_deserializer=messages.GetRecommendationsResponse.FromString,
        )

        async def ask(user: str) -> object:
            answer = await call(messages.GetRecommendationsRequest(user_id=user, limit=10))
            assert len(answer.items) == 10
            return answer

        yield ask


if __name__ == "__main__":
    sys.exit(main())
