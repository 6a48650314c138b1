"""The gate: all suites in one go, on one system, with one verdict."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gameday import __version__, contracts, experiment, load, loadrun, report, runs
from gameday.bench import Bench
from gameday.catalogue import Catalogue, compose
from gameday.contracts import Pact
from gameday.engine import Engine, uninterrupted
from gameday.errors import GamedayError, InputError, Problem
from gameday.experiment import Experiment
from gameday.journal import History
from gameday.judge import JOURNAL, read
from gameday.load import Load
from gameday.progress import Progress
from gameday.state import State
from gameday.verdict import Finding, Result, Verdict, Verdicts, worst

TIME_SCALE = 30.0


@dataclass(frozen=True)
class Site:
    """What a suite works on. `out` is the directory of this gate's runs."""

    bench: Bench
    out: Path
    progress: Progress
    pacts: Sequence[Pact] = ()
    experiments: Sequence[Experiment] = ()
    loads: Sequence[Load] = ()


Suite = Callable[[Site], Iterator[Result]]


def contracts_suite(site: Site) -> Iterator[Result]:
    site.progress.step("contracts: verifying")
    yield from contracts.verify(site.bench.catalogue, contracts.endpoints(site.bench.endpoints), site.pacts)


def experiments_suite(site: Site) -> Iterator[Result]:
    engine = Engine(site.bench, site.experiments, site.progress)
    try:
        for each in site.experiments:
            run = partial(engine.run, each, site.out / runs.identity(each.name))
            yield guarded("experiments", each.name, each.title, run)
    finally:
        engine.close()


def load_suite(site: Site) -> Iterator[Result]:
    for each in site.loads:
        run = partial(loadrun.run, each, site.bench, site.out / runs.identity(each.name), site.progress)
        yield guarded("load", each.name, each.profile.title, run)


# In the order in which the gate runs them.
SUITES: Mapping[str, Suite] = {
    "contracts": contracts_suite,
    "experiments": experiments_suite,
    "load": load_suite,
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


def gate(
    files: Sequence[Path],
    suites: Sequence[str],
    time_scale: float,
    out: Path | None,
    progress: Progress,
    *,
    everything: bool = False,
) -> tuple[Verdicts, Path]:
    """Runs `suites` (all where empty) and writes the reports. Returns the verdicts and their directory.

    Experiments and profiles of the covering set, or `everything`.
    """
    chosen = choose(suites)
    catalogue = compose.load(files, environment=os.environ, time_scale=time_scale)
    left_out: list[str] = []
    if not suites and not contracts.directory(catalogue).is_dir():
        chosen.remove("contracts")
        left_out.append(f"contracts: there is no {contracts.directory(catalogue)}")
    pacts = contracts.read_all(contracts.directory(catalogue)) if "contracts" in chosen else []
    experiments = experiment.check(experiment.files(catalogue.directory), catalogue) if "experiments" in chosen else []
    profiles = [load.read(name, catalogue) for name in load.names(catalogue.directory)] if "load" in chosen else []
    loads = [each for each in profiles if each.profile.gate or everything]
    left_out += [f"load {each.name}" for each in profiles if each not in loads]
    state = State.find(catalogue.directory)
    with runs.exclusive(state):
        began, started = time.monotonic(), now()
        directory = out or state.runs / runs.identity("gate")
        with system(catalogue, time_scale, progress), opened(state) as bench:
            bench.require_wired()
            results = list(_results(chosen, Site(bench, directory, progress, pacts, experiments, loads)))
            scale = bench.scale.factor
        verdicts = conclude(results, began, started, scale, tuple(left_out))
        write(verdicts, directory)
    return verdicts, directory


def run_experiments(
    catalogue: Catalogue, experiments: Sequence[Experiment], out: Path | None, progress: Progress
) -> tuple[Verdicts, Path]:
    """Runs `experiments` on the system that runs. One alone has its reports beside its history."""
    state = State.find(catalogue.directory)
    with runs.exclusive(state), opened(state) as bench:
        began, started = time.monotonic(), now()
        bench.require_wired()
        name = experiments[0].name if len(experiments) == 1 else "experiments"
        directory = out or state.runs / runs.identity(name)
        engine, results = Engine(bench, experiments, progress), []
        try:
            for each in experiments:
                place = directory if len(experiments) == 1 else directory / each.name
                results.append(engine.run(each, place))
                progress.say(f"{results[-1].verdict.upper():12} {each.title}")
        finally:
            engine.close()
        verdicts = conclude(results, began, started, bench.scale.factor)
    write(verdicts, directory)
    return verdicts, directory


def run_load(
    catalogue: Catalogue, chosen: Load, duration: float | None, out: Path | None, progress: Progress
) -> tuple[Verdicts, Path]:
    """Runs one load profile on the system that runs."""
    state = State.find(catalogue.directory)
    with runs.exclusive(state), opened(state) as bench:
        began, started = time.monotonic(), now()
        directory = out or state.runs / runs.identity(chosen.name)
        result = loadrun.run(chosen, bench, directory, progress, duration)
        verdicts = conclude([result], began, started, bench.scale.factor)
    write(verdicts, directory)
    return verdicts, directory


def choose(suites: Sequence[str]) -> list[str]:
    """Raises InputError for a suite that does not exist."""
    from gameday.yamlfile import suggestion

    unknown = [name for name in suites if name not in SUITES]
    if unknown:
        raise InputError(
            [Problem(f"there is no suite {name!r}", suggestion(name, SUITES), value=name) for name in unknown]
        )
    return [name for name in SUITES if not suites or name in suites]


def conclude(
    results: Sequence[Result], began: float, started: str, time_scale: float, left_out: tuple[str, ...] = ()
) -> Verdicts:
    """`began` is monotonic, `started` ISO 8601."""
    verdict = worst(result.verdict for result in results)
    return Verdicts(
        gameday=__version__,
        started=started,
        seconds=time.monotonic() - began,
        time_scale=time_scale,
        results=tuple(results),
        left_out=left_out,
        verdict=verdict,
        exit_code=verdict.exit_code,
    )


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


def _results(chosen: Sequence[str], site: Site) -> Iterator[Result]:
    for name in chosen:
        judged = 0
        try:
            for result in SUITES[name](site):
                judged += 1
                site.progress.say(f"{result.verdict.upper():12} {name}: {result.title}")
                yield result
        except Exception as error:  # noqa: BLE001 - the other suites still have something to say
            traceback.print_exc()
            yield crashed(name, name, f"the suite {name}", f"{type(error).__name__}: {error}")
        else:
            if not judged:
                # A directory that was moved away must not make the gate greener.
                yield crashed(name, name, f"the suite {name}", "it found nothing to judge")
