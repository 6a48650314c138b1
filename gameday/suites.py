"""The suites of a gate: what each judges, and on what it works."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from gameday import alerts, contracts, dashboards, experiment, killmatrix, loadrun, runs
from gameday.alerts import lint, targets
from gameday.bench import Bench
from gameday.catalogue import Catalogue
from gameday.contracts import Pact
from gameday.dashboards import NO_BOARDS, Boards, proof
from gameday.dashboards import check as panels
from gameday.engine import QUIET_LIMIT, Engine
from gameday.errors import GamedayError, InputError, Problem
from gameday.experiment import Experiment
from gameday.journal import History
from gameday.load import Load
from gameday.progress import Progress
from gameday.verdict import Finding, Result, Verdict
from gameday.yamlfile import suggestion

# The one thing that the suite of that name judges.
TELEMETRY = "telemetry"
# The fact that holds what of an experiment was red, and is waived.
RED = "red, and waived"


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
    """Judges targets, rules and panels themselves, on a system that is whole again and has done all that it does."""
    site.progress.step("telemetry: asking about each target, rule and panel")
    title = "Targets are scraped; rules would speak, and are silent; panels show data"
    yield guarded("telemetry", TELEMETRY, title, partial(_telemetry, site, title))


def _telemetry(site: Site, title: str) -> Result:
    prometheus = site.bench.prometheus
    if prometheus is None:
        raise GamedayError("the system has no Prometheus that could be asked")
    rules, tests = lint.own(alerts.file(site.catalogue), site.bench.state, site.time_scale)
    # What goes on for longer is true for no fault's sake, and named.
    with suppress(GamedayError):
        site.bench.require_quiet([rule.name for rule in rules if rule.alerts], QUIET_LIMIT)
    asked = lint.lint(rules, tests, prometheus, site.catalogue.directory)
    shown = panels.check(dashboards.of_project(site.catalogue).queries, prometheus)
    scraped = targets.check(prometheus.targets(), site.bench.lacking)
    findings = (*scraped, *asked.findings, *shown.findings)
    return asked.model_copy(update={"name": TELEMETRY, "title": title, "findings": findings})


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
    return killmatrix.judge(matrix, slos, known, today())


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


def choose(suites: Sequence[str]) -> list[str]:
    """Raises InputError for a suite that does not exist."""
    unknown = [name for name in suites if name not in SUITES]
    if unknown:
        raise InputError(
            [Problem(f"there is no suite {name!r}", suggestion(name, SUITES), value=name) for name in unknown]
        )
    wanted = {*suites, *(NEEDS[name] for name in suites if name in NEEDS)}
    return [name for name in SUITES if not suites or name in wanted]


def today() -> date:
    return datetime.now(UTC).date()


def results(chosen: Sequence[str], site: Site) -> Iterator[Result]:
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
