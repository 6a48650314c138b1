"""From a history to a result: severity, trust in the history, and the same verdict again."""

from __future__ import annotations

import json
from pathlib import Path

import histories as h
import pytest

from gameday.checks import CHECKS
from gameday.errors import InputError
from gameday.journal import Journal
from gameday.judge import judge, read
from gameday.verdict import Verdict


def store(entries: list[h.Entry], directory: Path) -> None:
    journal = Journal(directory / "journal.jsonl")
    for kind, data in entries:
        journal.append(kind, **data)
    journal.close()


def test_a_run_that_went_well_is_confirmed_and_says_where_each_expectation_stands() -> None:
    result = judge(h.history(h.good()))
    assert result.verdict is Verdict.CONFIRMED
    assert [finding.check for finding in result.findings] == [
        "evidence", "control", "toolkit", "users", "breaker", "alerts", "alerts",
    ]  # fmt: skip
    assert result.findings[3].file == "experiments/recommendation-down.yaml"
    assert result.findings[3].line == 35


@pytest.mark.parametrize(
    ("spoil", "verdict"),
    [
        (h.without("end"), Verdict.INCONCLUSIVE),
        (h.without("run"), Verdict.INCONCLUSIVE),
        (h.add(("error", {"where": "prometheus", "message": "does not answer"})), Verdict.INCONCLUSIVE),
        (lambda _: [], Verdict.INCONCLUSIVE),
        (h.leases(), Verdict.NOT_INJECTED),
        (h.leases(h.lease(state="leaked")), Verdict.LEAKED),
        (h.without("alert"), Verdict.REFUTED),
    ],
)
def test_severity(spoil: object, verdict: Verdict) -> None:
    assert judge(h.history(spoil(h.good()))).verdict is verdict  # type: ignore[operator]


def test_a_leak_outweighs_whatever_else_was_seen() -> None:
    spoiled = h.leases(h.lease(state="leaked"))(h.without("alert")(h.without("end")(h.good())))
    assert judge(h.history(spoiled)).verdict is Verdict.LEAKED


def test_a_torn_history_is_at_most_inconclusive(tmp_path: Path) -> None:
    store(h.good(), tmp_path)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    result = judge(read(tmp_path), tmp_path)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "cut" in result.findings[0].observed


def test_a_checker_that_raises_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setitem(CHECKS, "breaker", broken)  # type: ignore[arg-type]
    result = judge(h.history(h.good()))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert any("ZeroDivisionError: oh" in finding.observed for finding in result.findings)


def test_a_record_without_its_fields_is_inconclusive() -> None:
    assert judge(h.history(h.add(("request", {"route": "x"}))(h.good()))).verdict is Verdict.INCONCLUSIVE


def test_judged_again_from_disk_the_verdict_is_the_same(tmp_path: Path) -> None:
    store(h.good(), tmp_path)
    first, second = judge(read(tmp_path)), judge(read(tmp_path))
    assert first == second
    in_memory = judge(h.history(h.good()))
    assert [finding.model_dump() for finding in first.findings] == [
        finding.model_dump() for finding in in_memory.findings
    ]


def test_a_directory_without_a_history_is_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no history"):
        read(tmp_path)


def test_a_history_damaged_in_the_middle_is_wrong_input(tmp_path: Path) -> None:
    store(h.good(), tmp_path)
    path = tmp_path / "journal.jsonl"
    lines = path.read_text().splitlines()
    lines[3] = lines[3][:10]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="not a record"):
        read(tmp_path)


def test_a_load_run_is_judged_by_its_thresholds() -> None:
    run = h.good()[0][1] | {"suite": "load", "routes": {h.ROUTE: {"bad": "<= 1 of 300", "p99": "<= 800ms"}}}
    entries = [("run", run), *(entry for entry in h.good() if entry[0] in ("request", "end"))]
    result = judge(h.history(entries))
    assert (result.suite, result.verdict) == ("load", Verdict.CONFIRMED)
    assert json.loads(result.model_dump_json())["findings"][0]["n"] == len(entries) - 2
