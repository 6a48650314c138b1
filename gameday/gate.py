"""The gate: all suites in one go, on one system, with one verdict."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from gameday import (
    __version__,
    alerts,
    changes,
    contracts,
    cover,
    dashboards,
    experiment,
    killmatrix,
    load,
    loadrun,
    report,
    runs,
    shards,
)
from gameday.alerts import lint
from gameday.bench import Bench
from gameday.cases import Case, Draw
from gameday.catalogue import Catalogue, compose
from gameday.changes import Changes
from gameday.contracts import Pact
from gameday.dashboards import NO_BOARDS, Boards, proof
from gameday.engine import QUIET_LIMIT, Engine, uninterrupted
from gameday.errors import GamedayError, InputError, Problem
from gameday.experiment import Experiment
from gameday.exploration import Exploration, Explorer
from gameday.journal import History
from gameday.judge import JOURNAL, read
from gameday.load import Load
from gameday.progress import Progress
from gameday.shards import Shard
from gameday.state import State
from gameday.tools.prometheus import Prometheus
from gameday.verdict import Finding, Part, Result, Verdict, Verdicts, worst
from gameday.waiver import WAIVED

TIME_SCALE = 30.0
# The fact that holds what of an experiment was red, and is waived.
RED = "red, and waived"
# Facts of results that hold what was not judged, or does not count.
EXCUSES = (WAIVED, RED, contracts.PENDING, contracts.NOT_ASKED)


@dataclass(frozen=True)
class Record:
    """What experiments left behind: their histories in and below `places`.

    `known` are of every experiment there is, run or left out, the alerts that it expects to fire.
    """

    catalogue: Catalogue
    time_scale: float
    places: Sequence[Path]
    known: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Site(Record):
    """What a suite works on. `out` is the directory of this gate's runs; `agreed`: all contracts, left out or not."""

    bench: Bench
    out: Path
    progress: Progress
    agreed: Sequence[Pact] | None
    pacts: Sequence[Pact] = ()
    experiments: Sequence[Experiment] = ()
    loads: Sequence[Load] = ()
    boards: Boards = NO_BOARDS


Suite = Callable[[Site], Iterator[Result]]
Proof = Callable[[Record], Iterator[Result]]
# What was judged, and what is said to be left out.
Work = tuple[Sequence[Result], Sequence[str]]


def contracts_suite(site: Site) -> Iterator[Result]:
    site.progress.step("contracts: verifying")
    if site.agreed is not None:
        yield from contracts.missing(site.catalogue, site.agreed)
    yield from contracts.verified(site.catalogue, site.bench.state, site.bench.endpoints, site.pacts)


def experiments_suite(site: Site) -> Iterator[Result]:
    def place(each: Experiment) -> Path:
        return site.out / runs.identity(each.name)

    with closing(Engine(site.bench, site.experiments, site.progress, place, site.boards)) as engine:
        for each in site.experiments:
            yield excused(guarded("experiments", each.name, each.title, partial(engine.run, each)), each, today())


def load_suite(site: Site) -> Iterator[Result]:
    for each in site.loads:
        run = partial(loadrun.run, each, site.bench, site.out / runs.identity(each.name), site.progress)
        yield guarded("load", each.name, each.profile.title, run)


def telemetry_suite(site: Site) -> Iterator[Result]:
    """Judges the rules and panels themselves, on a system that is whole again and was asked for all that it does."""
    site.progress.step("telemetry: asking about each rule and panel")
    for name, title, judged in TELEMETRY:
        yield guarded("telemetry", name, title, partial(judged, site))


def _rules(site: Site) -> Result:
    rules, tests = lint.own(alerts.file(site.catalogue), site.bench.state, site.time_scale)
    # What goes on for longer is true for no fault's sake, and named.
    with suppress(GamedayError):
        site.bench.require_quiet([rule.name for rule in rules if rule.alerts], QUIET_LIMIT)
    return lint.lint(rules, tests, _prometheus(site), site.catalogue.directory)


def _prometheus(site: Site) -> Prometheus:
    if site.bench.prometheus is None:
        raise GamedayError("the system has no Prometheus that could be asked")
    return site.bench.prometheus


# By name: what is judged of the telemetry, and its title.
TELEMETRY = (("rules", lint.TITLE, _rules),)


def alerts_suite(record: Record) -> Iterator[Result]:
    """Judges what the experiments of this gate showed of the alerts."""
    yield prove(record.catalogue, killmatrix.experiments(record.places), record.known, record.time_scale)


def dashboards_suite(record: Record) -> Iterator[Result]:
    """Judges what the experiments of this gate moved on the boards."""
    yield prove_dashboards(record.catalogue, killmatrix.experiments(record.places))


# What judges the histories of all experiments together.
PROOFS: Mapping[str, Proof] = {"alerts": alerts_suite, "dashboards": dashboards_suite}
# Those for which windows last longer than an ordinary gate has time for, and why they are left out of it.
SELDOM: Mapping[str, str] = {"dashboards": "panels need longer windows; `gameday gate dashboards` and --all prove them"}
# In the order in which the gate runs them.
SUITES: Mapping[str, Suite] = {
    "contracts": contracts_suite,
    "experiments": experiments_suite,
    "load": load_suite,
    "telemetry": telemetry_suite,
    **PROOFS,
}
# What judges histories needs the suite that writes them.
NEEDS: Mapping[str, str] = dict.fromkeys(PROOFS, "experiments")


def prove(
    catalogue: Catalogue, histories: Mapping[str, History], known: Mapping[str, frozenset[str]], time_scale: float
) -> Result:
    """The kill matrix of experiments by their histories. Raises InputError where the catalogue has no SLO file."""
    slos = alerts.promised(catalogue)
    matrix = killmatrix.read(histories, alerts.detection(slos, time_scale))
    return killmatrix.judge(matrix, slos.waiver, known, today())


def excused(result: Result, experiment: Experiment, day: date) -> Result:
    """Without what is red and waived, which is told in the facts; where all else was as expected, without a finding."""
    waiver = experiment.extension.waiver
    if waiver is None:
        return result
    red = [finding for finding in result.findings if waiver.excuses(finding, day)]
    if not red:
        return result.model_copy(update={"findings": tuple(waiver.useless(each, day) for each in result.findings)})
    told = [waiver.told(f"{result.name}: {finding.check}: {finding.subject}: {finding.observed}") for finding in red]
    unknown = tuple(each for each in result.findings if each.verdict not in (Verdict.CONFIRMED, Verdict.REFUTED))
    return result.model_copy(update={"findings": unknown, "facts": result.facts | {RED: told}})


def prove_dashboards(catalogue: Catalogue, histories: Mapping[str, History]) -> Result:
    """Which panel each experiment moved, by their histories. Raises InputError where there is no board."""
    known = [path.stem for path in experiment.files(catalogue.directory)]
    return proof.judge(proof.read(histories, dashboards.promised(catalogue)), known)


def expected(experiments: Sequence[Experiment]) -> Mapping[str, frozenset[str]]:
    """By experiment the alerts that it expects to fire."""
    return {
        each.name: frozenset(alert.name for alert in each.extension.expect.alerts if not alert.silent)
        for each in experiments
    }


def guarded(suite: str, name: str, title: str, run: Callable[[], Result]) -> Result:
    """A suite that crashes is inconclusive, and never a pass."""
    try:
        return run()
    except (GamedayError, InputError) as error:
        return crashed(suite, name, title, str(error))
    except Exception as error:  # noqa: BLE001 - the other suites still have something to say
        traceback.print_exc()
        return crashed(suite, name, title, f"{type(error).__name__}: {error}")


def crashed(suite: str, name: str, title: str, message: str) -> Result:
    finding = Finding(
        check=suite, subject=name, verdict=Verdict.INCONCLUSIVE, expected="a judged run", observed=message
    )
    return Result.model_validate({"suite": suite, "name": name, "title": title, "findings": (finding,)})


@dataclass(frozen=True)
class Plan:
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
            "telemetry": [name for name, _, _ in TELEMETRY],
        }
        return {suite: every[suite] for suite in self.suites if suite not in PROOFS}

    @property
    def together(self) -> Sequence[str]:
        return [suite for suite in self.suites if suite in PROOFS]

    def part(self, shard: Shard) -> Plan:
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


def gate(
    files: Sequence[Path],
    suites: Sequence[str],
    time_scale: float,
    out: Path | None,
    progress: Progress,
    *,
    everything: bool = False,
    since: str | None = None,
    shard: Shard | None = None,
) -> tuple[Verdicts, Path]:
    """Runs `suites` (all where empty) and writes the reports. Returns the verdicts and their directory.

    Experiments and profiles of the covering set, or `everything`; with a commit in `since`, of what changed after it;
    of all that what falls to `shard`.
    """
    chosen = choose(suites)
    catalogue = compose.load(files, environment=os.environ, time_scale=time_scale)
    touched = changes.since(since, catalogue) if since else None
    whole = _plan(chosen, catalogue, bool(suites), everything, touched)
    plan = whole.part(shard) if shard else whole
    part = shards.described(shard, catalogue, whole.names, whole.together, whole.left_out) if shard else None

    def work(bench: Bench, directory: Path) -> Work:
        bench.require_wired()
        site = Site(
            bench.catalogue, bench.scale.factor, [directory], plan.known, bench, directory, progress,
            plan.agreed, plan.pacts, plan.experiments, plan.loads, plan.boards,
        )  # fmt: skip
        return list(_results(plan.suites, site)), plan.left_out

    return judged(catalogue, "gate", out, work, system(catalogue, time_scale, progress), part=part)


def _plan(chosen: list[str], catalogue: Catalogue, named: bool, everything: bool, touched: Changes | None) -> Plan:
    """Reads all that is to run. Raises InputError. Suites that were not `named` may be left out."""
    left_out: list[str] = []
    seldom = [] if everything else [(suite, why) for suite, why in SELDOM.items() if suite in chosen]
    for suite, why in dict([*_idle(chosen, catalogue), *seldom]).items() if not named else ():
        chosen.remove(suite)
        left_out.append(f"{suite}: {why}")
    if {"telemetry", "alerts"} & {*chosen}:
        alerts.promised(catalogue)
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
        covering = cover.cover(experiments, catalogue, boards.moved)
        experiments = list(covering.chosen)
        left_out += covering.left_out
    profiles = [load.read(name, catalogue) for name in load.names(catalogue.directory)] if "load" in chosen else []
    loads = [each for each in profiles if each.profile.gate or everything]
    left_out += [f"load {each.name}" for each in profiles if each not in loads]
    return Plan(chosen, agreed, pacts, experiments, loads, known, tuple(left_out), boards)


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
    for suite in ("alerts", "dashboards"):
        if suite in chosen and not touched.beyond:
            empty.add(suite)
            left_out.append(f"{suite}: they are proven by all experiments together")
    return [suite for suite in chosen if suite not in empty]


def run_experiments(
    catalogue: Catalogue, experiments: Sequence[Experiment], out: Path | None, progress: Progress
) -> tuple[Verdicts, Path]:
    """Runs `experiments` on the system that runs. One alone has its reports beside its history."""
    alone = len(experiments) == 1

    def work(bench: Bench, directory: Path) -> Work:
        bench.require_wired()
        return list(_run(experiments, bench, progress, lambda each: directory if alone else directory / each.name)), ()

    return judged(catalogue, experiments[0].name if alone else "experiments", out, work)


def run_load(
    catalogue: Catalogue, chosen: Load, duration: float | None, out: Path | None, progress: Progress
) -> tuple[Verdicts, Path]:
    """Runs one load profile on the system that runs."""

    def work(bench: Bench, directory: Path) -> Work:
        return [loadrun.run(chosen, bench, directory, progress, duration)], ()

    return judged(catalogue, chosen.name, out, work)


def explore(
    catalogue: Catalogue, wanted: Exploration, time_scale: float, out: Path | None, progress: Progress
) -> tuple[Verdicts, Path]:
    """Explores the system that runs, or one that is started for it."""

    def work(bench: Bench, directory: Path) -> Work:
        bench.require_wired()
        with closing(Explorer(bench, wanted, directory, progress)) as explorer:
            use = explorer.used()
            # How many are drawn depends on the time that each takes.
            total = "" if isinstance(wanted.order, Draw) else f" of {len(list(wanted.cases(use)))}"
            return list(_explored(explorer, wanted.cases(use), total, progress)), wanted.left_out(use)

    return judged(catalogue, "exploration", out, work, system(catalogue, time_scale, progress))


def judged(
    catalogue: Catalogue,
    name: str,
    out: Path | None,
    work: Callable[[Bench, Path], Work],
    around: AbstractContextManager[None] | None = None,
    *,
    part: Part | None = None,
) -> tuple[Verdicts, Path]:
    """What `work` judges on the system that runs, or runs within `around`; with its reports, and nothing beside it.

    Returns the verdicts and the directory of the run, which is `out`, or a new one called by `name`.
    """
    state = State.find(catalogue.directory)
    with runs.exclusive(state):
        began, started = time.monotonic(), now()
        directory = out or state.runs / runs.identity(name)
        with around or nullcontext(), opened(state) as bench:
            results, left_out = work(bench, directory)
            scale = bench.scale.factor
        verdicts = conclude(results, began, started, scale, left_out)
        if part:
            aside = tuple(result for result in results if result not in verdicts.results)
            verdicts = verdicts.model_copy(update={"part": part.model_copy(update={"set_aside": aside})})
        write(verdicts, directory)
    return verdicts, directory


def _run(
    experiments: Sequence[Experiment], bench: Bench, progress: Progress, place: Callable[[Experiment], Path]
) -> Iterator[Result]:
    boards = dashboards.of_project(bench.catalogue)
    with closing(Engine(bench, experiments, progress, place, boards)) as engine:
        for each in experiments:
            result = engine.run(each)
            progress.say(f"{result.verdict.upper():12} {each.title}")
            yield result


def _explored(explorer: Explorer, cases: Iterable[Case], total: str, progress: Progress) -> Iterator[Result]:
    for number, case in enumerate(cases, 1):
        result = guarded("exploration", case.name, case.title, partial(explorer.explore, case))
        progress.say(f"{number}{total}: {result.verdict.upper():12} {case.title}")
        yield result


def choose(suites: Sequence[str]) -> list[str]:
    """Raises InputError for a suite that does not exist."""
    from gameday.yamlfile import suggestion

    unknown = [name for name in suites if name not in SUITES]
    if unknown:
        raise InputError(
            [Problem(f"there is no suite {name!r}", suggestion(name, SUITES), value=name) for name in unknown]
        )
    wanted = {*suites, *(NEEDS[name] for name in suites if name in NEEDS)}
    return [name for name in SUITES if not suites or name in wanted]


def conclude(
    results: Sequence[Result], began: float, started: str, time_scale: float, left_out: Sequence[str] = ()
) -> Verdicts:
    """`began` is monotonic, `started` ISO 8601."""
    excused = [f"{why}: {told}" for why in EXCUSES for result in results for told in result.facts.get(why, ())]
    judged = [result for result in results if result.findings or not _unpromised(result)]
    verdict = worst(result.verdict for result in judged)
    return Verdicts(
        gameday=__version__,
        started=started,
        seconds=time.monotonic() - began,
        time_scale=time_scale,
        results=tuple(judged),
        left_out=(*left_out, *excused),
        verdict=verdict,
        exit_code=verdict.exit_code,
    )


def _unpromised(result: Result) -> bool:
    """A contract of which nothing was promised yet, or nothing could be asked, or a red experiment that somebody
    answers for: it is neither a yes nor a no.
    """
    return any(result.facts.get(why) for why in (RED, contracts.PENDING, contracts.NOT_ASKED))


def write(verdicts: Verdicts, directory: Path) -> Path:
    """The reports, with the histories of the results that have one."""
    histories: dict[str, History] = {}
    for result in verdicts.results:
        if result.directory and (Path(result.directory) / JOURNAL).exists():
            histories[result.name] = read(Path(result.directory))
    return report.write(verdicts, histories, directory)


def today() -> date:
    return datetime.now(UTC).date()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def system(catalogue: Catalogue, time_scale: float, progress: Progress) -> Iterator[None]:
    """The system that runs here, left as it was found; or one that is started wired, and ended."""
    if running(catalogue):
        progress.say("joining the system that runs")
        yield
        return
    progress.say(f"starting the system, wired, at time scale {time_scale:g}")
    try:
        _gameday("up", catalogue, "--wire", "all", "--time-scale", f"{time_scale:g}")
        progress.say("the system is ready")
        yield
    finally:
        progress.step("ending the system")
        with uninterrupted():
            _gameday("down", catalogue)


def running(catalogue: Catalogue) -> bool:
    from gameday.control import Control

    try:
        Control.connect(State.find(catalogue.directory).directory).close()
    except InputError:
        return False
    return True


def _gameday(command: str, catalogue: Catalogue, *options: str) -> None:
    """Our own command, as a person would type it. Raises InputError or GamedayError, as it failed."""
    files = [option for file in catalogue.files for option in ("-f", str(file))] if command == "up" else []
    environment = {**os.environ, "GAMEDAY_STATE": str(State.find(catalogue.directory).directory)}
    done = subprocess.run(
        [sys.executable, "-m", "gameday", command, *files, *options],
        env=environment,
        check=False,
        start_new_session=True,  # Ctrl-C at a terminal is for the gate to handle
    )
    if done.returncode == 2:  # noqa: PLR2004 - the exit code of wrong input
        raise InputError(Problem(f"gameday {command} was refused, as it says above", "mend that first"))
    if done.returncode:
        raise GamedayError(f"gameday {command} ended with {done.returncode}, as it says above")


@contextmanager
def opened(state: State) -> Iterator[Bench]:
    bench = Bench.open(state)
    try:
        yield bench
    finally:
        bench.close()


def _results(chosen: Sequence[str], site: Site) -> Iterator[Result]:
    for name in chosen:
        for result in spoken(name, SUITES[name](site)):
            site.progress.say(f"{result.verdict.upper():12} {name}: {result.title}")
            yield result


def spoken(suite: str, results: Iterable[Result]) -> Iterator[Result]:
    """Those of a suite. Where it crashes, or says nothing, that is inconclusive, and the other suites still speak."""
    silent = True
    try:
        for result in results:
            silent = False
            yield result
    except Exception as error:  # noqa: BLE001 - the other suites still have something to say
        traceback.print_exc()
        yield crashed(suite, suite, f"the suite {suite}", f"{type(error).__name__}: {error}")
    else:
        if silent:
            # A directory that was moved away must not make the gate greener.
            yield crashed(suite, suite, f"the suite {suite}", "it found nothing to judge")
