"""A red experiment that somebody answers for: told, never green, and red again when its day has passed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gameday import alerts, gate, suites
from gameday.catalogue import compose
from gameday.errors import InputError
from gameday.expectations import Extension
from gameday.verdict import Finding, Result, Verdict, Verdicts

TODAY = date(2026, 11, 27)
ANSWER = {"reason": "the cache is being replaced", "owner": "search", "until": "2026-11-27"}


def result(*verdicts: Verdict) -> Result:
    findings = [
        Finding(check="users", subject=f"r{number}", verdict=verdict, expected="200", observed="503")
        for number, verdict in enumerate(verdicts)
    ]
    return Result(suite="experiments", name="cache-down", title="t", findings=tuple(findings))


def waived(judged: Result, until: str | None = "2026-11-27") -> Result:
    waiver = ANSWER | {"until": until} if until else None
    extension = Extension.model_validate(
        {"name": "gameday", "load": "x", "expect": {"users": [{"route": "GET /", "status": 200}]}, "waiver": waiver}
    )
    return suites.excused(judged, SimpleNamespace(extension=extension), TODAY)  # type: ignore[arg-type]


def concluded(*results: Result) -> Verdicts:
    return gate.conclude(results, 0.0, "", 1.0)


def test_what_is_waived_is_told_and_no_result() -> None:
    verdicts = concluded(result(Verdict.CONFIRMED), waived(result(Verdict.CONFIRMED, Verdict.REFUTED)))
    assert [each.verdict for each in verdicts.results] == [Verdict.CONFIRMED]
    assert verdicts.exit_code == 0
    assert verdicts.left_out == (
        "red, and waived: cache-down: users: r1: 503; until 2026-11-27 search says: the cache is being replaced",
    )


def test_a_gate_of_which_all_is_waived_is_not_green() -> None:
    assert concluded(waived(result(Verdict.REFUTED))).exit_code == 3


def test_a_waiver_that_ended_excuses_nothing() -> None:
    judged = waived(result(Verdict.REFUTED), until="2026-11-26")
    assert concluded(judged).exit_code == 1
    assert judged.findings[0].detail == "its waiver ended on 2026-11-26 (by search)"
    assert concluded(waived(result(Verdict.REFUTED), until=None)).exit_code == 1


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.NOT_INJECTED, Verdict.LEAKED])
def test_a_waiver_does_not_stand_for_what_nobody_knows_or_what_is_still_broken(verdict: Verdict) -> None:
    assert waived(result(verdict)).verdict is verdict
    assert waived(result(Verdict.REFUTED, verdict, Verdict.CONFIRMED)).verdict is verdict


def test_a_waiver_that_is_not_needed_says_so() -> None:
    assert "not needed any more" in waived(result(Verdict.CONFIRMED)).findings[0].detail
    assert waived(result(Verdict.CONFIRMED)).verdict is Verdict.CONFIRMED


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ({"until": date(2026, 11, 27)}, 'write it with quotes, as "2026-11-27"'),
        ({"until": "soon"}, "valid date"),
        ({"owner": ""}, "owner"),
        ({"reason": None}, "reason"),
        ({"untill": "2026-11-27"}, "untill"),
    ],
)
def test_a_waiver_says_why_who_and_until_when(spoilt: dict[str, Any], told: str) -> None:
    whole = {"name": "gameday", "load": "x", "expect": {"users": [{"route": "GET /", "status": 200}]}}
    with pytest.raises(ValueError, match=told):
        Extension.model_validate({**whole, "waiver": ANSWER | spoilt})


def test_a_waiver_of_nothing_there_is_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {web: {image: redis}}\n")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/cache-down.yaml").touch()
    answer = 'reason = "r"\nowner = "o"\nuntil = 2027-01-01\n'
    slos = tmp_path / "slos.toml"
    catalogue = compose.load([tmp_path / "docker-compose.yml"], environment={})
    slos.write_text(f'[[waiver]]\nexperiment = "cache-down"\n{answer}')
    assert alerts.read(slos, catalogue).waiver
    slos.write_text(f'[[waiver]]\nexperiment = "cash-down"\n{answer}[[waiver]]\nalert = "Nobody"\n{answer}')
    with pytest.raises(InputError) as refused:
        alerts.read(slos, catalogue)
    assert [(each.line, each.message) for each in refused.value.problems] == [
        (2, "no such experiment"),
        (7, "no such alert"),
    ]
    assert refused.value.problems[0].mend == "did you mean cache-down?"
