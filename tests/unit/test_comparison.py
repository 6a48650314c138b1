"""Two stored runs beside each other: what is worse, and what neither can say of the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import histories as h
import pytest
from invocation import invoke

from gameday import comparison, gate
from gameday.cli import diff as command
from gameday.comparison import Change, Row, Run
from gameday.errors import InputError
from gameday.journal import Journal
from gameday.judge import judge, read
from gameday.measures import Measure, measures
from gameday.state import State
from gameday.verdict import Finding, Result, Verdict

NAME = ("experiments", "recommendation-down")


def run(entries: list[h.Entry], scale: float = 30.0) -> Run:
    history = h.history(entries)
    return Run("r", scale, {NAME: judge(history)}, {NAME: history})


def changed(after: list[h.Entry], before: list[h.Entry] | None = None) -> dict[str, tuple[str, str, Change]]:
    rows = comparison.compare(run(before or h.good()), run(after))
    return {row.what: (row.before, row.after, row.change) for row in rows if row.change is not Change.SAME}


def judged(**verdicts: Verdict) -> Run:
    """A run without a history."""
    findings = tuple(
        Finding(check="c", subject=subject, verdict=verdict, expected="", observed="")
        for subject, verdict in verdicts.items()
    )
    return Run("r", 1.0, {NAME: Result(suite="experiments", name="x", title="", findings=findings)}, {})


def changes(before: Run, after: Run) -> dict[str, Change]:
    return {row.what: row.change for row in comparison.compare(before, after)}


def test_a_run_is_as_it_is() -> None:
    rows = comparison.compare(run(h.good()), run(h.good()))
    assert {row.change for row in rows} == {Change.SAME}
    assert comparison.verdict(rows) is Verdict.CONFIRMED
    measured = {row.what: row.after for row in rows}
    assert measured[f"breaker {h.EDGE} opens"] == "1s"
    assert measured[f"alert {h.ALERT} fires"] == "4s"
    assert measured[f"alert {h.ALERT} resolves"] == "8s"
    assert measured[f"users {h.ROUTE} back"] == "1s"
    assert measured[f"users {h.ROUTE} p99"] == "20ms"


def test_users_who_got_errors_are_worse() -> None:
    spoilt = h.change("request", h.during(h.IN_FORCE, h.IN_FORCE + 2), status=500)(h.good())
    found = changed(spoilt)
    assert found[f"users: {h.ROUTE}"] == ("confirmed", "refuted", Change.WORSE)
    assert found["verdict"][2] is Change.WORSE
    before, after, change = found[f"users {h.ROUTE} bad"]
    assert (before[:5], after[:6], change) == ("0.00%", "19.95%", Change.WORSE)
    assert changed(h.good(), before=spoilt)[f"users {h.ROUTE} bad"][2] is Change.BETTER


def test_two_errors_more_are_not_worse_for_certain() -> None:
    one = h.change("request", h.during(h.IN_FORCE + 1, h.IN_FORCE + 1.05), status=500)(h.good())
    assert changed(one)[f"users: {h.ROUTE}"][2] is Change.WORSE
    assert f"users {h.ROUTE} bad" not in changed(one)


def test_slow_answers_are_worse_and_a_little_slower_is_the_same() -> None:
    assert changed(h.change("request", ms=60.0)(h.good()))[f"users {h.ROUTE} p50"] == ("20ms", "60ms", Change.WORSE)
    assert changed(h.change("request", ms=23.0)(h.good())) == {}


def test_an_alert_that_is_late_or_never_comes_is_worse() -> None:
    late = [h.alert(*one) for one in (("firing", h.FIRED + 5), ("resolved", h.RESOLVED))]
    assert changed([*h.without("alert")(h.good()), *late])[f"alert {h.ALERT} fires"] == ("4s", "9s", Change.WORSE)
    # Within what a scrape, an evaluation and a delivery may take.
    soon = [h.alert(*one) for one in (("firing", h.FIRED + 3), ("resolved", h.RESOLVED))]
    assert f"alert {h.ALERT} fires" not in changed([*h.without("alert")(h.good()), *soon])
    never = changed(h.without("alert")(h.good()))
    assert never[f"alert {h.ALERT} fires"] == ("4s", "never", Change.WORSE)
    assert never[f"alert {h.ALERT} resolves"] == ("8s", "never", Change.WORSE)


def test_an_alert_that_nobody_expects_is_told() -> None:
    more = [*h.good(), h.alert("firing", h.FIRED, name="Other"), h.alert("resolved", h.RESOLVED, name="Other")]
    assert changed(more)["alert Other fires"] == ("", "4s", Change.NEW)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (Verdict.CONFIRMED, Verdict.INCONCLUSIVE, Change.WORSE),
        (Verdict.INCONCLUSIVE, Verdict.REFUTED, Change.WORSE),
        (Verdict.REFUTED, Verdict.INCONCLUSIVE, Change.OTHER),
        (Verdict.REFUTED, Verdict.CONFIRMED, Change.BETTER),
        (Verdict.LEAKED, Verdict.LEAKED, Change.SAME),
    ],
)
def test_what_a_verdict_is_worth_beside_another(before: Verdict, after: Verdict, change: Change) -> None:
    assert changes(judged(a=before), judged(a=after))["c: a"] is change


def test_findings_come_and_go() -> None:
    ok, bad = Verdict.CONFIRMED, Verdict.REFUTED
    found = changes(judged(a=ok, b=ok), judged(a=ok, c=ok, d=bad))
    assert found["c: b"] is Change.GONE
    assert found["c: c"] is Change.NEW
    assert found["c: d"] is Change.WORSE


def test_two_findings_of_the_same_thing_are_two() -> None:
    findings = [
        Finding(check="c", subject="a", verdict=verdict, expected="", observed="")
        for verdict in (Verdict.CONFIRMED, Verdict.REFUTED)
    ]
    result = Result(suite="experiments", name="x", title="", findings=tuple(findings))
    twice = Run("r", 1.0, {NAME: result}, {})
    assert set(changes(twice, twice)) == {"verdict", "c: a", "c: a (2)"}


def test_runs_without_anything_in_common_say_nothing_of_each_other() -> None:
    other = judged(a=Verdict.CONFIRMED)
    elsewhere = Run("r", 1.0, {("load", "browse"): other.results[NAME]}, {})
    rows = comparison.compare(other, elsewhere)
    assert [row.change for row in rows] == [Change.GONE, Change.NEW]
    assert comparison.verdict(rows) is Verdict.INCONCLUSIVE
    assert comparison.verdict([]) is Verdict.INCONCLUSIVE


def test_runs_at_two_time_scales_are_not_compared() -> None:
    with pytest.raises(InputError, match="one time scale"):
        comparison.compare(run(h.good()), run(h.good(), 1.0))


def test_few_requests_have_no_99th_percentile_and_no_request_has_nothing() -> None:
    entries = h.without("request", h.during(h.IN_FORCE, h.RELEASE + 0.1))(h.good())
    found = measures(h.history(entries))
    assert (f"users {h.ROUTE}", "bad") not in found
    few = h.without("request", h.during(h.IN_FORCE + 1, h.RELEASE + 1))(h.good())
    assert (f"users {h.ROUTE}", "p99") not in measures(h.history(few))


def test_what_is_measured_of_a_load() -> None:
    entries: list[h.Entry] = [("run", {"suite": "load", "routes": {h.ROUTE: {"status": 200}}})]
    found = measures(h.history([*entries, h.request(1.0, ms=5.0), h.request(2.0, status=500, ms=7.0)]))
    assert found[f"users {h.ROUTE}", "bad"].value == 0.5
    assert found[f"users {h.ROUTE}", "p50"] == Measure(0.005, "seconds", 0.005, 0.007)


def stored(state: State, name: str, entries: Sequence[h.Entry], *, moved: bool = False) -> Path:
    """A gate of one experiment, as it is written."""
    directory = state.runs / name / "20261127-recommendation-down"
    journal = Journal(directory / "journal.jsonl")
    for kind, data in entries:
        journal.append(kind, **data)
    journal.close()
    result = judge(read(directory), Path("/elsewhere") / directory.name if moved else directory)
    gate.write(gate.conclude([result], 0.0, gate.now(), 30.0), state.runs / name)
    return state.runs / name


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setenv("GAMEDAY_STATE", str(tmp_path / "state"))
    return State(tmp_path / "state")


gameday = partial(invoke, command)


def test_the_command_names_runs_by_id_or_path_and_ends_with_what_it_found(state: State) -> None:
    stored(state, "a", h.good(), moved=True)
    worse = stored(state, "b", h.change("request", ms=60.0)(h.good()))
    code, printed = gameday("a", "a")
    assert (code, printed) == (0, printed)
    assert printed.startswith("nothing got worse: ")
    code, printed = gameday("a", str(worse))
    assert code == 1
    assert "20ms    60ms   worse" in printed
    assert "confirmed" not in printed
    assert "confirmed" in gameday("a", "b", "--all")[1]
    told = json.loads(gameday("a", "b", "--json")[1])
    assert (told["before"], told["after"], told["exit_code"]) == ("a", "b", 1)
    assert Row(**told["rows"][0]).change == "same"


def test_a_run_without_a_verdict_is_judged(state: State) -> None:
    (stored(state, "a", h.good()) / "verdict.json").unlink()
    inner = str(state.runs / "a" / "20261127-recommendation-down")
    assert gameday(inner, inner)[0] == 0


def test_an_unknown_run_is_told(state: State) -> None:
    stored(state, "a", h.good())
    with pytest.raises(InputError) as caught:
        gameday("a", "b")
    (problem,) = caught.value.problems
    assert (problem.message, problem.value) == ("no such run", "b")
    (state.runs / "a" / "verdict.json").write_text('{"verdict": "confirmed"}')
    with pytest.raises(InputError, match="is no verdict"):
        gameday("a", "a")
