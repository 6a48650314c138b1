"""Faults in force: intent before anything happens, evidence, a time to live, a verified undo."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from gameday.catalogue import Catalogue
from gameday.errors import GamedayError, InputError, Problem
from gameday.faults import Evidence, Fault, registry
from gameday.faults.arguments import nearest
from gameday.journal import History, Journal, read
from gameday.runtime import ProcessId, Runtime, procfs

LONGEST_TTL = 3600.0
CLOSING_SECONDS = 3.0


class Phase(StrEnum):
    """The state of a lease. The first two and the last are open: the target is not whole."""

    INTENDED = "intended"
    IN_FORCE = "in-force"
    NOT_INJECTED = "not-injected"
    UNDONE = "undone"
    EXPIRED = "expired"
    LEAKED = "leaked"


OPEN = frozenset({Phase.INTENDED, Phase.IN_FORCE, Phase.LEAKED})


@dataclass(frozen=True)
class Patience:
    """How long the keeper waits for the world to agree, in real seconds."""

    inject: float = 10.0
    undo: float = 40.0
    witness: float = 5.0
    look_every: float = 0.05
    exercised_every: float = 0.25
    retry_every: float = 0.5


_NOTHING_SEEN = Evidence(False)


@dataclass
class Lease:
    """One fault on one target, as the control protocol and the histories show it."""

    id: str
    run: str | None
    fault: str
    target: str
    arguments: Mapping[str, Any]
    ttl: float
    state: Phase = Phase.INTENDED
    intent_wall: float = field(default_factory=time.time)
    in_force_wall: float | None = None
    undone_wall: float | None = None
    in_force: Evidence = _NOTHING_SEEN
    exercised: Evidence = _NOTHING_SEEN
    undone: Evidence = _NOTHING_SEEN
    error: str | None = None
    mend: str | None = None

    def describe(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class _Held:
    """A lease, the fault that serves it, and the clock that ends it.

    `owner` is the process that will undo it; none outlives its owner.
    """

    lease: Lease
    fault: Fault
    owner: ProcessId | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    clock: asyncio.Task[None] | None = None


class LeaseKeeper:
    """Owns every lease of one running system and the journal in which they are written."""

    def __init__(
        self, runtime: Runtime, catalogue: Catalogue, journal: Journal, patience: Patience | None = None
    ) -> None:
        self._runtime = runtime
        self._catalogue = catalogue
        self._journal = journal
        self._patience = patience or Patience()
        self._held: dict[str, _Held] = {}
        self._closed = False

    async def inject(
        self,
        fault: str,
        target: str,
        arguments: Mapping[str, Any] | None = None,
        ttl: float = 120.0,
        run: str | None = None,
        *,
        owner: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The lease, in force or `not-injected`. Raises InputError before anything happens.

        `ttl` in real seconds. `owner` (pid, start, boot): the lease ends with that process.
        """
        arguments = dict(arguments or {})
        if wrong := self._problems(fault, target, arguments, ttl):
            raise InputError(wrong)
        lease = Lease(f"{fault}-{uuid.uuid4().hex[:8]}", run, fault, target, arguments, ttl)
        held = _Held(lease, registry.FAULTS[fault](target, arguments), ProcessId(**owner) if owner else None)
        self._write("intent", lease)
        self._held[lease.id] = held
        # Shielded: whoever asked may go away, half an injection may not stay.
        await asyncio.shield(asyncio.create_task(self._inject(held)))
        return lease.describe()

    async def undo(
        self,
        lease: str | None = None,
        run: str | None = None,
        all: bool = False,
    ) -> list[dict[str, Any]]:
        """Undoes one lease, those of a run, or all, side by side. Returns them, also those undone before."""
        chosen = self._choose(lease, run, all)
        await asyncio.shield(asyncio.create_task(self._undo_each(chosen, Phase.UNDONE)))
        return [held.lease.describe() for held in chosen]

    async def inherit(self) -> None:
        """Undoes what outlived an earlier system of the same state: a broker keeps its messages."""
        for told in unfinished(read(self._journal.path)):
            left = {name: told[name] for name in ("id", "run", "fault", "target", "arguments", "ttl")}
            lease = Lease(**left, state=Phase.LEAKED)
            if lease.id not in self._held and self._outlives(lease):
                fault = registry.LASTING[lease.fault](lease.target, lease.arguments, lease.id)
                self._held[lease.id] = held = _Held(lease, fault)
                await self._undo_each([held], Phase.UNDONE)

    def _outlives(self, lease: Lease) -> bool:
        """Whether the fault does, and the catalogue still knows its target."""
        known = lease.fault in registry.LASTING
        return known and not registry.problems(lease.fault, lease.target, lease.arguments, self._catalogue)

    def leases(self, run: str | None = None) -> list[dict[str, Any]]:
        """Every lease of this system's life, or of one run, the first one first."""
        return [held.lease.describe() for held in self._held.values() if run in (None, held.lease.run)]

    async def close(self) -> None:
        """Undoes what is in force, quickly: what is left ends with the system. Nothing can be injected afterwards."""
        self._closed = True
        self._patience = replace(self._patience, undo=min(self._patience.undo, CLOSING_SECONDS))
        await self._undo_each(self._choose(None, None, True), Phase.UNDONE)

    def _problems(self, fault: str, target: str, arguments: Mapping[str, Any], ttl: float) -> Sequence[Problem]:
        if self._closed:
            return [Problem("the system is going down", "gameday up", key="fault", value=fault)]
        wrong = list(registry.problems(fault, target, arguments, self._catalogue))
        if not 0 < ttl <= LONGEST_TTL:
            mend = f"a lease lasts more than 0 and at most {LONGEST_TTL:.0f} seconds"
            wrong.append(Problem(f"a lease cannot last {ttl} s", mend, key="lease", value=ttl))
        if wrong:
            return wrong
        return [*self._holder(target), *registry.FAULTS[fault](target, arguments).obstacles(self._runtime)]

    def _holder(self, target: str) -> list[Problem]:
        parts = self._parts(target)
        for held in self._held.values():
            if held.lease.state in OPEN and parts & self._parts(held.lease.target):
                message = f"{target} is held by the lease {held.lease.id} ({held.lease.state})"
                return [Problem(message, "gameday recover --all", key="target", value=target)]
        return []

    def _parts(self, target: str) -> frozenset[Hashable]:
        """`a->b` and `a->b:80` are one target; `web-2` is a part of `web`; a queue is one by itself."""
        if target in self._catalogue.queues:
            return frozenset({target})
        edges = self._catalogue.find(target)
        return frozenset(edges or (each.replica for each in self._catalogue.replicas(target)))

    async def _inject(self, held: _Held) -> None:
        async with held.turn:
            held.clock = asyncio.create_task(self._keep(held, time.monotonic() + held.lease.ttl))
            reason = await self._bring_into_force(held)
            if reason is None:
                held.lease.state = Phase.IN_FORCE
                held.lease.in_force_wall = time.time()
                self._note("in-force", held.lease)
                return
            held.lease.error = reason
            await self._end(held, Phase.NOT_INJECTED)

    async def _bring_into_force(self, held: _Held) -> str | None:
        """None once the evidence holds, else why it does not."""
        lease, fault = held.lease, held.fault
        try:
            async with asyncio.timeout(min(self._patience.inject, lease.ttl)):
                await fault.inject(self._runtime, lease.id, lease.ttl)
                while not lease.in_force.holds:
                    lease.in_force = await fault.in_force(self._runtime)
                    await asyncio.sleep(0 if lease.in_force.holds else self._patience.look_every)
        except TimeoutError:
            return f"not seen in force in time: {dict(lease.in_force.facts)}"
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the target must be made whole
            return _sentence(error)
        return None

    async def _keep(self, held: _Held, deadline: float) -> None:
        """Keeps the evidence of use up to date until the lease's time or its owner is gone, then undoes it."""
        while (left := deadline - time.monotonic()) > 0 and (held.owner is None or procfs.alive(held.owner)):
            await asyncio.sleep(min(left, self._patience.exercised_every))
            if held.lease.state is Phase.IN_FORCE and left > self._patience.exercised_every:
                await self._witness(held)
        held.clock = None
        await self._undo_each([held], Phase.EXPIRED)

    async def _witness(self, held: _Held) -> None:
        """Reads who met the fault. What was seen once stays seen."""
        lease, before = held.lease, held.lease.exercised
        now = await self._ask(held.fault.exercised)
        if now.holds or not before.holds:
            lease.exercised = now
        if lease.exercised.holds and not before.holds:
            self._note("exercised", lease)

    async def _ask(self, question: Callable[[Runtime], Awaitable[Evidence]]) -> Evidence:
        """No answer, in time or at all, is no evidence."""
        try:
            async with asyncio.timeout(self._patience.witness):
                return await question(self._runtime)
        except Exception as error:  # noqa: BLE001 - said in the facts; the undo must go on
            return Evidence(False, {"error": _sentence(error)})

    async def _undo_each(self, chosen: Sequence[_Held], outcome: Phase) -> None:
        """Side by side: no two are of one target, and a service may need another one to get healthy."""
        await asyncio.gather(*(self._undo_one(held, outcome) for held in chosen))

    async def _undo_one(self, held: _Held, outcome: Phase) -> None:
        async with held.turn:
            await self._testify(held, outcome)
            await self._end(held, outcome)

    async def _testify(self, held: _Held, outcome: Phase) -> None:
        """The last look at the fault before it is undone."""
        if held.lease.state is not Phase.IN_FORCE:
            return
        await self._witness(held)
        if outcome is Phase.EXPIRED:
            # A proxy ends its toxic by its own clock, which may be the faster one.
            return
        now, seen = await self._ask(held.fault.in_force), held.lease.in_force
        if not now.holds:
            # A look that failed says nothing of the fault; one that saw it gone does.
            held.lease.in_force = Evidence("error" in now.facts, {**seen.facts, "last_look": dict(now.facts)})

    async def _end(self, held: _Held, outcome: Phase) -> None:
        lease = held.lease
        if lease.state not in OPEN:
            return
        reason = await self._make_whole(held)
        lease.undone_wall = time.time()
        lease.state = outcome if reason is None else Phase.LEAKED
        lease.mend = None if reason is None else held.fault.mend()
        lease.error = reason or (lease.error if outcome is Phase.NOT_INJECTED else None)
        self._note(str(lease.state), lease)
        if held.clock is not None and reason is None:
            held.clock.cancel()

    async def _make_whole(self, held: _Held) -> str | None:
        """Undoes until the world shows it; else why it could not."""
        deadline = time.monotonic() + self._patience.undo
        while True:
            reason = await self._try_undo(held, deadline)
            if reason is None or time.monotonic() >= deadline:
                return reason
            await asyncio.sleep(self._patience.retry_every)

    async def _try_undo(self, held: _Held, deadline: float) -> str | None:
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await held.fault.undo(self._runtime)
                held.lease.undone = await held.fault.undone(self._runtime)
        except TimeoutError:
            return f"the undo took longer than {self._patience.undo:g} s"
        except Exception as error:  # noqa: BLE001 - becomes the reason for which the lease leaked
            return _sentence(error)
        return None if held.lease.undone.holds else f"not seen undone: {dict(held.lease.undone.facts)}"

    def _choose(self, lease: str | None, run: str | None, everything: bool) -> list[_Held]:
        if lease is not None:
            if lease not in self._held:
                raise InputError(Problem(f"there is no lease {lease!r}", nearest(lease, self._held), key="lease"))
            return [self._held[lease]]
        if run is None and not everything:
            raise InputError(Problem("nothing says what to undo", "name a lease, a run, or all", key="lease"))
        if everything:
            return [held for held in self._held.values() if held.lease.state in OPEN]
        return [held for held in self._held.values() if held.lease.run == run]

    def _write(self, phase: str, lease: Lease) -> None:
        self._journal.append("lease", sync=True, phase=phase, **lease.describe())

    def _note(self, phase: str, lease: Lease) -> None:
        """As `_write`, but once a fault may be in force, a full disk must not keep it there."""
        try:
            self._write(phase, lease)
        except OSError as error:
            lease.error = f"{lease.error or ''} {phase} could not be journalled: {error}".strip()


def unfinished(history: History) -> list[dict[str, Any]]:
    """The leases that a history leaves open, as they were last written."""
    last = {record.data["id"]: record.data for record in history.of("lease")}
    return [lease for lease in last.values() if lease["state"] in OPEN]


def settle(path: Path, living: Sequence[ProcessId]) -> list[dict[str, Any]]:
    """Closes the leases in the journal `path` of a system that has ended, after its supervisor crashed.

    With no process of that system `living` (its services, its proxies) no effect
    can be left: processes cannot stay stopped, toxics cannot stay installed. Each
    lease is journalled as undone; with a survivor as leaked, and so is one whose fault outlives the system.
    """
    left = unfinished(read(path))
    if not left:
        return []
    journal = Journal(path)
    try:
        return [_settled(lease, journal, living) for lease in left]
    finally:
        journal.close()


def _settled(lease: dict[str, Any], journal: Journal, living: Sequence[ProcessId]) -> dict[str, Any]:
    pids = [process.pid for process in living]
    reason, mend = "the system that held it has ended", None
    if living:
        reason, mend = "processes of the system that held it live on", f"kill -9 {' '.join(map(str, pids))}"
    elif lease["fault"] in registry.LASTING:
        reason = "the system that held it has ended, and may have kept it"
        mend = registry.FAULTS[lease["fault"]](lease["target"], lease["arguments"]).mend()
    lease = lease | {
        "state": str(Phase.LEAKED if mend else Phase.UNDONE),
        "undone_wall": time.time(),
        "undone": {"holds": mend is None, "facts": {"reason": reason, "living": pids}},
        "error": reason if mend else None,
        "mend": mend,
    }
    journal.append("lease", sync=True, **lease | {"phase": lease["state"]})
    return lease


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, GamedayError) else f"{type(error).__name__}: {error}"
