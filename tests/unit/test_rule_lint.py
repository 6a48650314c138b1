"""What a running Prometheus says of rules that would never say anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gameday.alerts import lint
from gameday.errors import GamedayError, InputError
from gameday.tools.prometheus import Sample
from gameday.verdict import Finding, Verdict

RULES = """
groups:
  - name: shop
    rules:
      - record: shop:errors:ratio_1h
        expr: rate(errors_total{job="shop"}[1h]) / rate(requests_total{job="shop"}[1h])
      - alert: ShopFails
        expr: shop:errors:ratio_1h > 0.1
        labels: {severity: page}
        annotations: {summary: The shop fails, runbook_url: runbooks/ShopFails.md}
"""
TESTS = 'count(ALERTS{alertname="ShopFails"})'
SERIES = {"errors_total": {"job": "shop"}, "requests_total": {"job": "shop"}}


class FakePrometheus:
    """Holds one series for each name. `true` are the expressions of alerts that hold."""

    def __init__(self, *true: str) -> None:
        self.true = true

    def instant(self, query: str) -> Sequence[Sample]:
        if query == "broken > 1":
            raise GamedayError("Prometheus does not answer")
        if not query.startswith("count("):
            return [Sample(query, {}, 0.0, 1.0)] if query in self.true else []
        selector = query.removeprefix("count(").removesuffix(")").removesuffix("{}")
        name, _, inside = selector.partition("{")
        wanted = [each.split("=", 1) for each in inside.removesuffix("}").split(",") if each]
        found = SERIES.get(name, {})
        there = name in SERIES and all(found.get(key) == value.strip('"') for key, value in wanted)
        return [Sample(name, {}, 0.0, 1.0)] if there else []

    def label_values(self, label: str, selector: str | None = None) -> Sequence[str]:
        if label == "__name__":
            return [*SERIES]
        return [labels[label] for name, labels in SERIES.items() if name == selector and label in labels]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks/ShopFails.md").write_text("# ShopFails\n")
    (tmp_path / "rules_test.yml").write_text(TESTS)
    return tmp_path


def found(project: Path, rules: str, source: FakePrometheus | None = None) -> list[Finding]:
    """What is not confirmed."""
    file = project / "rules.yml"
    file.write_text(rules)
    result = lint.lint(lint.read([file]), [project / "rules_test.yml"], source or FakePrometheus(), project)
    return [each for each in result.findings if each.verdict is not Verdict.CONFIRMED]


def test_rules_that_could_speak_are_confirmed(project: Path) -> None:
    assert not found(project, RULES)


@pytest.mark.parametrize(
    ("was", "is_", "check", "told"),
    [
        ("errors_total{job", "error_total{job", "series", "there is no series error_total: did you mean errors_total"),
        ('errors_total{job="shop"}', 'errors_total{jbo="shop"}', "series", "no series errors_total has a label jbo"),
        ('errors_total{job="shop"}', 'errors_total{job="shp"}', "series", 'no series errors_total has job="shp"'),
        ("shop:errors:ratio_1h >", "shop:errors:ratio_2h >", "series", "there is no series shop:errors:ratio_2h"),
        ("> 0.1", "> 0.1)", "expression", "cannot be read"),
        ("{severity: page}", "{team: shop}", "told", "has no label severity"),
        ("summary: The shop fails, ", "", "told", "has no annotation summary"),
        ("runbooks/ShopFails.md", "runbooks/Shop.md", "runbook", "there is no runbooks/Shop.md"),
        (", runbook_url: runbooks/ShopFails.md", "", "runbook", "has no annotation runbook_url"),
        ("alert: ShopFails", "alert: ShopIsDown", "tested", "no unit test names it"),
    ],
)
def test_each_defect_is_refuted_and_named(project: Path, was: str, is_: str, check: str, told: str) -> None:
    assert was in RULES
    (finding,) = found(project, RULES.replace(was, is_))
    assert (finding.verdict, finding.check) == (Verdict.REFUTED, check)
    assert told in finding.observed
    assert finding.file == str(project / "rules.yml")
    assert finding.line in (5, 7)


def test_an_alert_that_is_true_on_a_healthy_system_is_refuted(project: Path) -> None:
    (finding,) = found(project, RULES, FakePrometheus("shop:errors:ratio_1h > 0.1"))
    assert (finding.check, finding.verdict, finding.observed) == ("silent", Verdict.REFUTED, "true now, for 1 series")


def test_what_prometheus_cannot_say_is_inconclusive(project: Path) -> None:
    rules = RULES.replace("shop:errors:ratio_1h > 0.1", "broken > 1").replace("record: shop:errors", "record: broken #")
    (finding,) = found(project, rules)
    assert (finding.check, finding.verdict) == ("silent", Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("groups: 3\n", "groups"),
        ("groups:\n  - name: a\n    rules:\n      - alert: A\n", "is no rule"),
        ("groups: []\n", "no rule in it"),
        ("a: [", "rules.yml"),
    ],
)
def test_what_is_no_rule_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "rules.yml").write_text(text)
    with pytest.raises(InputError) as refused:
        lint.read([tmp_path / "rules.yml"])
    assert any(told in str(problem) for problem in refused.value.problems)


def test_a_test_file_that_is_not_there_is_refused(project: Path) -> None:
    (project / "rules.yml").write_text(RULES)
    with pytest.raises(InputError) as refused:
        lint.lint(lint.read([project / "rules.yml"]), [project / "none.yml"], FakePrometheus(), project)
    (problem,) = refused.value.problems
    assert (problem.file, problem.message[:14]) == (project / "none.yml", "cannot be read")
