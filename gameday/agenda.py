"""What one gate is to run, and what it says that it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gameday import alerts, contracts, cover, dashboards, experiment, killmatrix, load
from gameday.catalogue import Catalogue
from gameday.changes import Changes
from gameday.contracts import Pact
from gameday.dashboards import NO_BOARDS, Boards
from gameday.experiment import Experiment
from gameday.load import Load
from gameday.shards import Shard
from gameday.suites import PROOFS, SELDOM, TELEMETRY, expected


@dataclass(frozen=True)
class Agenda:
    """What a gate is to run, and what it says that it leaves out. `agreed` are all contracts, None: nobody asks."""

    suites: Sequence[str]
    agreed: Sequence[Pact] | None
    pacts: Sequence[Pact]
    experiments: Sequence[Experiment]
    loads: Sequence[Load]
    known: Mapping[str, frozenset[str]]
    left_out: tuple[str, ...]
    boards: Boards

    @property
    def names(self) -> Mapping[str, Sequence[str]]:
        """By suite, what shards can share."""
        every = {
            "contracts": [each.name for each in self.pacts],
            "experiments": [each.name for each in self.experiments],
            "load": [each.name for each in self.loads],
            "telemetry": [TELEMETRY],
        }
        return {suite: every[suite] for suite in self.suites if suite not in PROOFS}

    @property
    def together(self) -> Sequence[str]:
        return [suite for suite in self.suites if suite in PROOFS]

    def part(self, shard: Shard) -> Agenda:
        """What one shard runs of it, and leaves to others. What needs all of it is judged when they have run."""
        mine = {suite: shard.part(names) for suite, names in self.names.items()}
        others = {suite: [*(Counter(names) - Counter(mine[suite]))] for suite, names in self.names.items()}
        told = [f"{suite}, of other shards: {', '.join(names)}" for suite, names in others.items() if names]
        told += [f"{suite}: judged when all shards have run, by gameday judge" for suite in self.together]
        return replace(
            self,
            suites=[suite for suite, names in mine.items() if names],
            agreed=None,
            pacts=shard.part(self.pacts),
            experiments=shard.part(self.experiments),
            loads=shard.part(self.loads),
            left_out=(*self.left_out, *told),
        )


def plan(chosen: list[str], catalogue: Catalogue, named: bool, everything: bool, touched: Changes | None) -> Agenda:
    """Reads all that is to run. Raises InputError. Suites that were not `named` may be left out."""
    left_out: list[str] = []
    seldom = [] if everything else [(suite, why) for suite, why in SELDOM.items() if suite in chosen]
    for suite, why in dict([*_idle(chosen, catalogue), *seldom]).items() if not named else ():
        chosen.remove(suite)
        left_out.append(f"{suite}: {why}")
    read = {"telemetry", "alerts"} & {*chosen} or (catalogue.telemetry.slos and "experiments" in chosen)
    spared = alerts.promised(catalogue).seldom if read else frozenset[str]()
    boards = dashboards.promised(catalogue) if "dashboards" in chosen else NO_BOARDS
    pacts = contracts.read_all(contracts.directory(catalogue)) if "contracts" in chosen else []
    experiments = experiment.check(experiment.files(catalogue.directory), catalogue) if "experiments" in chosen else []
    known, agreed = expected(experiments), pacts
    if touched:
        pacts, experiments = _narrowed(touched, catalogue, pacts, experiments, left_out)
        chosen = _still(chosen, {"contracts": pacts, "experiments": experiments}, touched, left_out)
    if everything:
        experiments = cover.ordered(experiments)
    else:
        covering = cover.cover(experiments, catalogue, boards.moved, spared)
        experiments = list(covering.chosen)
        left_out += [*covering.left_out, *_unheard(spared, experiments)]
    profiles = [load.read(name, catalogue) for name in load.names(catalogue.directory)] if "load" in chosen else []
    loads = [each for each in profiles if each.profile.gate or everything]
    left_out += [f"load {each.name}" for each in profiles if each not in loads]
    return Agenda(chosen, agreed, pacts, experiments, loads, known, tuple(left_out), boards)


def _unheard(seldom: frozenset[str], experiments: Sequence[Experiment]) -> list[str]:
    unheard = sorted(seldom - killmatrix.heard(expected(experiments)))
    return [f"alert {name}: seen to fire by `gameday gate --all` (gate = false)" for name in unheard]


def _idle(chosen: Sequence[str], catalogue: Catalogue) -> list[tuple[str, str]]:
    """Those of the chosen suites that find nothing to judge here, and why."""
    found = []
    if "contracts" in chosen and not contracts.directory(catalogue).is_dir():
        found.append(("contracts", f"there is no {contracts.directory(catalogue)}"))
    for suite in ("telemetry", "alerts"):
        if suite in chosen and catalogue.telemetry.slos is None:
            found.append((suite, "the compose file names no SLO file (x-gameday.telemetry.slos)"))
    if "dashboards" in chosen and not dashboards.of_project(catalogue).queries:
        found.append(("dashboards", f"there is no board in {dashboards.directory(catalogue)}"))
    return found


def _narrowed(
    touched: Changes, catalogue: Catalogue, pacts: list[Pact], experiments: list[Experiment], left_out: list[str]
) -> tuple[list[Pact], list[Experiment]]:
    """What may differ since the commit; what may not is told in `left_out`."""
    agreed = [pact for pact in pacts if touched.touch((pact.consumer, pact.provider))]
    broken = [each for each in experiments if touched.touch(cover.touches(each, catalogue), each.name)]
    unchanged = f"nothing that it is about changed since {touched.ref}"
    left_out += [f"contract {pact.name}: {unchanged}" for pact in pacts if pact not in agreed]
    left_out += [f"experiment {each.name}: {unchanged}" for each in experiments if each not in broken]
    return agreed, broken


def _still(
    chosen: Sequence[str], rest: Mapping[str, Sequence[object]], touched: Changes, left_out: list[str]
) -> list[str]:
    """The suites that have something left to judge. Some experiments alone say nothing of all alerts."""
    empty = {suite for suite, found in rest.items() if not found}
    for suite in PROOFS:
        if suite in chosen and not touched.beyond:
            empty.add(suite)
            left_out.append(f"{suite}: they are proven by all experiments together")
    return [suite for suite in chosen if suite not in empty]
