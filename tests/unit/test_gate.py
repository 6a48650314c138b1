"""The gate: what a crash is worth, and what is refused before anything starts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gameday import gate, journal, suites
from gameday.durations import TimeScale
from gameday.errors import GamedayError, InputError
from gameday.progress import Progress
from gameday.verdict import Finding, Result, Verdict

ROOT = Path(__file__).parents[2]


def result(verdict: Verdict, name: str = "x") -> Result:
    finding = Finding(check="users", subject=name, verdict=verdict, expected="e", observed="o")
    return Result(suite="load", name=name, title=name, findings=(finding,))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A gate whose system is a fake that starts at once."""
    monkeypatch.setenv("GAMEDAY_STATE", str(tmp_path / "state"))

    @contextmanager
    def nothing(*_: object) -> Iterator[None]:
        yield

    @contextmanager
    def bench(*_: object) -> Iterator[Any]:
        yield SimpleNamespace(require_wired=lambda: None, scale=TimeScale(30), catalogue=None)

    monkeypatch.setattr(gate, "system", nothing)
    monkeypatch.setattr(gate, "opened", bench)
    return tmp_path


def run(out: Path, *suites: str) -> tuple[Any, Path]:
    return gate.gate([ROOT / "docker-compose.yml"], suites, 30.0, out, Progress())


def test_the_worst_result_is_the_verdict(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def results(_: suites.Site) -> Iterator[Result]:
        yield result(Verdict.CONFIRMED, "a")
        yield result(Verdict.REFUTED, "b")

    monkeypatch.setattr(suites, "SUITES", {"load": results})
    verdicts, directory = run(site / "out")
    assert (verdicts.verdict, verdicts.exit_code, directory) == (Verdict.REFUTED, 1, site / "out")
    assert {path.name for path in directory.iterdir()} == {"report.html", "junit.xml", "verdict.json", "summary.md"}


def test_a_suite_that_finds_nothing_to_judge_is_inconclusive(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fine(_: suites.Site) -> Iterator[Result]:
        yield result(Verdict.CONFIRMED)

    monkeypatch.setattr(suites, "SUITES", {"experiments": lambda _: iter(()), "load": fine})
    verdicts, _ = run(site / "out")
    assert [each.verdict for each in verdicts.results] == [Verdict.INCONCLUSIVE, Verdict.CONFIRMED]
    assert verdicts.exit_code == 3


def test_a_suite_that_crashes_is_inconclusive_and_the_others_still_speak(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashes(_: suites.Site) -> Iterator[Result]:
        yield result(Verdict.CONFIRMED, "a")
        raise ZeroDivisionError("oh")

    def fine(_: suites.Site) -> Iterator[Result]:
        yield result(Verdict.CONFIRMED, "b")

    monkeypatch.setattr(suites, "SUITES", {"experiments": crashes, "load": fine})
    verdicts, _ = run(site / "out")
    assert [each.verdict for each in verdicts.results] == [Verdict.CONFIRMED, Verdict.INCONCLUSIVE, Verdict.CONFIRMED]
    assert verdicts.exit_code == 3
    assert "ZeroDivisionError: oh" in verdicts.results[1].findings[0].observed


def test_suites_without_any_result_are_not_green(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "SUITES", {"load": lambda _: iter(())})
    verdicts, _ = run(site / "out")
    assert verdicts.exit_code == 3


@pytest.mark.parametrize("error", [GamedayError("x"), InputError(gate.Problem("x", "y")), ValueError("x")])
def test_whatever_one_run_raises_is_inconclusive(error: Exception) -> None:
    def raises() -> Result:
        raise error

    assert suites.guarded("load", "n", "t", raises).verdict is Verdict.INCONCLUSIVE


def test_an_interrupt_is_no_verdict() -> None:
    def interrupted() -> Result:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        suites.guarded("load", "n", "t", interrupted)


def test_an_unknown_suite_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError) as told:
        suites.choose(["experimets", "laod"])
    assert [problem.mend for problem in told.value.problems] == [
        "did you mean experiments or telemetry or alerts?",
        "did you mean load?",
    ]


def test_alerts_are_judged_by_what_experiments_showed() -> None:
    assert suites.choose(["alerts"]) == ["experiments", "alerts"]
    assert suites.choose(["load"]) == ["load"]


def test_wrong_experiments_are_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it was started")

    monkeypatch.setattr(gate, "system", never)
    monkeypatch.setenv("GAMEDAY_STATE", str(tmp_path / "state"))
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/bad.yaml").write_text("title: x\n")
    (tmp_path / "docker-compose.yml").write_text("services: {web: {image: redis}}\n")
    with pytest.raises(InputError, match="extension"):
        gate.gate([tmp_path / "docker-compose.yml"], ["experiments"], 30.0, None, Progress())


def test_histories_go_into_the_report(tmp_path: Path) -> None:
    place = tmp_path / "a"
    history = journal.Journal(place / "journal.jsonl")
    history.append("run", id="r", suite="load", experiment="x", title="t")
    history.append("end")
    history.close()
    judged = result(Verdict.CONFIRMED).model_copy(update={"directory": str(place)})
    verdicts = gate.conclude([judged], time.monotonic(), gate.now(), 30.0)
    assert gate.write(verdicts, tmp_path / "out").exists()


def test_the_state_directory_is_that_of_the_project_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAMEDAY_STATE", raising=False)
    assert gate.State.find(ROOT).directory == ROOT / ".gameday"
    assert os.environ.get("GAMEDAY_STATE") is None
