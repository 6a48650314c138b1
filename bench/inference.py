"""What is left of the model's own speed: batches of 64 by session.run alone, and what 64 callers at once get.

    python bench/inference.py [--rounds 5] [--seconds 2] [--json]

`the model` is the service's own step around the graph (features in, items out); `batcher` adds 64 callers in one
process, each waiting for its own answer; `recommendation-svc` is the whole service asked by HTTP over 64 connections,
whose features come from Redis. Each on one core; wrk and Redis have the other. Needs wrk (Debian).
Example: python bench/inference.py --rounds 3
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnxruntime
from gateway import SAMPLED, parser, redis
from stack import MEASURED_CORE, ROOT, Rounds, Stack, free_port, stack, wrk

from system.kit.together import Together
from system.recommendation import registry
from system.recommendation.model import Model, Query, Scored, load

CALLERS, LIMIT = 64, 10
ASK = """
local users, n = {users}, 0
wrk.method, wrk.headers["content-type"] = "POST", "application/json"
function request()
  n = n % #users + 1
  return wrk.format(nil, nil, nil, '{{"userId": "' .. users[n] .. '", "limit": {limit}}}')
end
"""


def main() -> int:
    arguments = parser(__doc__).parse_args()
    entry = registry.entry(ROOT / "system/recommendation/model")
    model, asking = load(entry), users(entry)
    queries = [Query(model.history(user), LIMIT) for user in asking]
    with stack() as made:
        url = service(made)
        script = made.write(
            "ask.lua", ASK.format(users="{" + ", ".join(f'"{user}"' for user in asking) + "}", limit=LIMIT)
        )
        ask: dict[str, Callable[[], float]] = {
            "session.run": partial(alone, graph(entry, model, queries), arguments.seconds),
            "the model": partial(alone, partial(model.predict, queries), arguments.seconds),
            "batcher": lambda: asyncio.run(together(model, queries, arguments.seconds)),
            "recommendation-svc": partial(wrk, url, arguments.seconds, CALLERS, {}, script),
        }
        rounds = Rounds(ask, arguments.rounds, "answers/s")
    if arguments.json:
        print(rounds.json("batcher"))
    else:
        rounds.show(
            f"{CALLERS} callers, {LIMIT} items each", "batcher", ["session.run", "the model", "recommendation-svc"]
        )
    return 0


def users(entry: registry.Entry) -> list[str]:
    """Who bought something before the model was trained."""
    stored = np.load(io.BytesIO(entry.read("histories.npz")), allow_pickle=False)
    return [str(user) for user in stored["user_ids"][:CALLERS]]


def graph(entry: registry.Entry, model: Model, queries: Sequence[Query]) -> Callable[[], object]:
    """One run of the graph for all queries, on inputs that are made already."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(entry.read("model.onnx"), options, providers=["CPUExecutionProvider"])
    interactions = np.zeros((len(queries), len(model.item_ids)), np.float32)
    for row, query in enumerate(queries):
        interactions[row, query.history] = 1
    return partial(session.run, None, {"interactions": interactions, "limit": np.array([LIMIT], np.int64)})


def alone(run: Callable[[], object], seconds: float) -> float:
    os.sched_setaffinity(0, {MEASURED_CORE})
    count, ends = 0, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        run()
        count += CALLERS
    return count / seconds


async def together(model: Model, queries: Sequence[Query], seconds: float) -> float:
    """Each caller asks again as soon as it has its answer."""
    os.sched_setaffinity(0, {MEASURED_CORE})

    async def predict(asked: Sequence[Query]) -> list[list[Scored]]:
        return model.predict(asked)

    batcher, count, ends = Together(predict, CALLERS), 0, time.perf_counter() + seconds

    async def caller(query: Query) -> None:
        nonlocal count
        while time.perf_counter() < ends:
            await batcher(query)
            count += 1

    await asyncio.gather(*map(caller, queries))
    return count / seconds


def service(made: Stack) -> str:
    port, store = free_port(), redis(made)
    environment = {
        "PORT": str(port),
        "CACHE_URL": f"redis://127.0.0.1:{store}/0",
        "STORE_URL": f"redis://127.0.0.1:{store}/1",
        # Each answer is the model's own, and one request in ten is traced.
        "ANSWER_CACHE_SECONDS": "0",
        SAMPLED: "0.1",
    }
    made.start("recommendation", [sys.executable, "-m", "system.recommendation"], port, MEASURED_CORE, **environment)
    return f"http://127.0.0.1:{port}/recommend"


if __name__ == "__main__":
    sys.exit(main())
