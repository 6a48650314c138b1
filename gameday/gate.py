"""The gate: all suites in one go, on one system, with one verdict."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gameday import __version__, agenda, changes, contracts, dashboards, loadrun, report, runs, shards
from gameday.bench import Bench
from gameday.cases import Case, Draw
from gameday.catalogue import Catalogue, compose
from gameday.engine import Engine, uninterrupted
from gameday.errors import GamedayError, InputError, Problem
from gameday.experiment import Experiment
from gameday.exploration import Exploration, Explorer
from gameday.journal import History
from gameday.judge import JOURNAL, read
from gameday.load import Load
from gameday.progress import Progress
from gameday.shards import Shard
from gameday.state import State
from gameday.suites import RED, Site, choose, guarded, results
from gameday.verdict import Part, Result, Verdicts, worst
from gameday.waiver import WAIVED

TIME_SCALE = 30.0
# Facts of results that hold what was not judged, or does not count.
EXCUSES = (WAIVED, RED, contracts.PENDING, contracts.NOT_ASKED)
# What was judged, and what is said to be left out.
Work = tuple[Sequence[Result], Sequence[str]]


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
    whole = agenda.plan(chosen, catalogue, bool(suites), everything, touched)
    plan = whole.part(shard) if shard else whole
    part = shards.described(shard, catalogue, whole.names, whole.together, whole.left_out) if shard else None

    def work(bench: Bench, directory: Path) -> Work:
        bench.require_wired()
        site = Site(
            bench.catalogue, bench.scale.factor, [directory], plan.known, bench, directory, progress,
            plan.agreed, plan.pacts, plan.experiments, plan.loads, plan.boards,
        )  # fmt: skip
        return list(results(plan.suites, site)), plan.left_out

    return judged(catalogue, "gate", out, work, system(catalogue, time_scale, progress), part=part)


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
