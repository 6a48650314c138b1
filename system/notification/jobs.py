"""Mails to be sent, queued in Redis: each event once, and nothing leaves but by what became of it.

A stream with one consumer group. What a worker took and never settled, since it was
killed, is given to another after a while. What has to wait lies in a sorted set by
when it is due, what was given up in a hash. Each move is one script: a job is
always in exactly one of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from system.kit.store import Store

STREAM, GROUP, LATER, DEAD = "mail:jobs", "mailers", "mail:later", "mail:dead"
# How metrics name them.
QUEUES = {STREAM: "notification-svc.mail", LATER: "notification-svc.mail.later", DEAD: "notification-svc.mail.dead"}
# A message may come again as long as somebody may bring it back from the dead.
SEEN_SECONDS = 90 * 24 * 3600
AT_ONCE = 100

_PUT = """
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then return 0 end
redis.call('XADD', KEYS[2], '*', 'job', ARGV[2])
return 1
"""
_CLAIM = """
local claimed = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], '0-0', 'COUNT', 1)[2]
if #claimed == 0 then return nil end
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], claimed[1][1], claimed[1][1], 1)
return {claimed[1][1], claimed[1][2][2], pending[1][4]}
"""
# As if idle for so long that anybody may claim it; how often it was delivered stays.
_ORPHANED = """
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[2])
for _, entry in ipairs(pending) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry[1], 'IDLE', ARGV[3], 'RETRYCOUNT', entry[4], 'JUSTID')
end
return #pending
"""
# Each of these does nothing for a job that has gone to another worker, settled or not. XACK alone would let anybody
# acknowledge what is another's; the count of deliveries, which grows with each claim, tells the late from the present.
_TAKEN = """
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if #pending == 0 or pending[1][4] ~= tonumber(ARGV[3]) then return 0 end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
"""
_DONE = f"{_TAKEN} return 1"
_LATER = f"{_TAKEN} redis.call('ZADD', KEYS[2], ARGV[4], ARGV[5]) return 1"
_DEAD = f"{_TAKEN} redis.call('HSET', KEYS[2], ARGV[4], ARGV[5]) return 1"
_DUE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, job in ipairs(due) do
  redis.call('XADD', KEYS[2], '*', 'job', job)
  redis.call('ZREM', KEYS[1], job)
end
return #due
"""
_REPLAY = """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'job', ARGV[2])
return 1
"""


class Job(BaseModel):
    """`id` is the event's. `headers` carry trace and correlation id. `waits` are those for what was not there."""

    id: UUID
    user: str
    item: str
    quantity: int = 1
    occurred: AwareDatetime
    headers: dict[str, str] = Field(default_factory=dict)
    attempts: int = 0
    waits: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Taken:
    """An entry of the stream, which is this worker's until it settles it or another claims it. `text` should be a Job.

    `deliveries`: how often it was given out. `asked`: the monotonic second from which its time counts at the latest,
    since a worker may stall between the giving and the hearing of it.
    """

    entry: str
    text: str
    deliveries: int
    asked: float


class Dead(BaseModel):
    """`job` as it stood in the queue, where it could not be read."""

    id: str
    error: str | None
    job: Job | str


class Jobs:
    """Every method raises UnavailableError. `worker` is this process's name in the group; `claim` in seconds."""

    def __init__(self, store: Store, worker: str, claim: float) -> None:
        self._store = store
        self._worker = worker
        self._claim = claim
        self._next_claim = 0.0
        texts = {
            "put": _PUT,
            "claim": _CLAIM,
            "orphaned": _ORPHANED,
            "done": _DONE,
            "later": _LATER,
            "dead": _DEAD,
            "due": _DUE,
            "replay": _REPLAY,
        }
        self._scripts = {name: store.script(text) for name, text in texts.items()}

    async def put(self, job: Job) -> bool:
        """Whether it is new."""
        return bool(await self._run("put", [f"mail:seen:{job.id}", STREAM], SEEN_SECONDS, job.model_dump_json()))

    async def prepare(self) -> None:
        """Makes the group where there is none."""

        async def create(redis: Redis) -> None:
            try:
                await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

        await self._store.ask(create)

    async def orphaned(self) -> int:
        """Lets go of what a process of the same name took and left when it was killed; how many those were.

        To be called before this process takes any.
        """
        return await self._run("orphaned", [STREAM], GROUP, self._worker, int(self._claim * 1000), AT_ONCE)

    async def take(self, block: float) -> Taken | None:
        """A job, after at most `block` seconds."""
        if time.monotonic() >= self._next_claim:
            self._next_claim = time.monotonic() + self._claim / 10
            if abandoned := await self._abandoned():
                # There may be more.
                self._next_claim = 0.0
                return abandoned

        async def read(redis: Redis) -> Any:
            return await redis.xreadgroup(GROUP, self._worker, {STREAM: ">"}, count=1, block=int(block * 1000))

        asked = time.monotonic()
        found = await self._store.ask(read)
        if not found:
            return None
        # One stream was asked for, and one entry of it.
        entry, fields = next(iter(dict(found).values()))[0]
        return Taken(entry, fields.get("job", ""), 1, asked)

    async def done(self, taken: Taken) -> bool:
        """Whether it was this worker's to settle; so with the next two."""
        return await self._settle("done", [STREAM], taken)

    async def later(self, taken: Taken, job: Job, seconds: float) -> bool:
        due = int((time.time() + seconds) * 1000)
        return await self._settle("later", [STREAM, LATER], taken, due, job.model_dump_json())

    async def bury(self, taken: Taken, identifier: str, text: str) -> bool:
        return await self._settle("dead", [STREAM, DEAD], taken, identifier, text)

    async def due(self) -> int:
        """Brings back what has waited long enough; how many those were."""
        return await self._run("due", [LATER, STREAM], int(time.time() * 1000), AT_ONCE)

    async def dead(self) -> list[Dead]:
        found = await self._store.ask(_all)
        return [_dead(identifier, text) for identifier, text in found.items()]

    async def replay(self, identifier: str) -> bool:
        """As if new. Whether there was such a one."""
        text = await self._store.ask(lambda redis: _one(redis, identifier))
        if text is None:
            return False
        dead = _dead(identifier, text)
        if isinstance(dead.job, Job):
            text = dead.job.model_copy(update={"attempts": 0, "waits": 0, "error": None}).model_dump_json()
        return bool(await self._run("replay", [DEAD, STREAM], identifier, text))

    async def depths(self) -> dict[str, int]:
        """By the names that metrics have."""

        async def measure(redis: Redis) -> list[int]:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.xlen(STREAM)
                pipeline.zcard(LATER)
                pipeline.hlen(DEAD)
                return list(await pipeline.execute())

        return dict(zip(QUEUES.values(), await self._store.ask(measure), strict=True))

    async def _abandoned(self) -> Taken | None:
        asked, values = time.monotonic(), (GROUP, self._worker, int(self._claim * 1000))
        found = await self._store.ask(lambda redis: self._scripts["claim"]([STREAM], values, client=redis))
        if not found:
            return None
        entry, text, deliveries = found
        return Taken(str(entry), str(text), int(deliveries), asked)

    async def _settle(self, name: str, keys: list[str], taken: Taken, *values: str | int) -> bool:
        return bool(await self._run(name, keys, GROUP, taken.entry, taken.deliveries, *values))

    async def _run(self, name: str, keys: list[str], *values: str | int) -> int:
        return int(await self._store.ask(lambda redis: self._scripts[name](keys, values, client=redis)))


def _dead(identifier: str, text: str) -> Dead:
    try:
        job = Job.model_validate_json(text)
    except ValueError:
        return Dead(id=identifier, error="not a job", job=text)
    return Dead(id=identifier, error=job.error, job=job)


async def _all(redis: Redis) -> dict[str, str]:
    return {str(name): str(text) for name, text in (await redis.hgetall(DEAD)).items()}


async def _one(redis: Redis, identifier: str) -> str | None:
    found = await redis.hget(DEAD, identifier)
    return None if found is None else str(found)
