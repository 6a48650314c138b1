"""SLOs to and from OpenSLO and sloth: nothing is lost that is not told."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from gameday import alerts
from gameday.alerts import exchange, openslo, sloth
from gameday.alerts.slos import WORKBOOK, Slo, Slos
from gameday.cli import alerts as command
from gameday.errors import InputError

ROOT = Path(__file__).parents[2]
PAGES = tuple(arm for arm in WORKBOOK if arm.severity == "page")
FORMATS = pytest.mark.parametrize("form", [openslo, sloth])


def slo(**changes: Any) -> Slo:
    values = {
        "name": "homepage",
        "route": "GET /api/homepage",
        "objective": 99.95,
        "alert": "HomepageUnavailable",
        "summary": 'The "homepage" fails: ünüsual',
        "description": "Nobody gets in.",
    }
    return Slo.model_validate(values | changes)


def written(form: ModuleType, path: Path, *slos: Slo) -> Path:
    path.write_text("---\n".join(map(alerts.yaml, form.write(Slos(slo=slos), "gateway").documents)))
    return path


@FORMATS
def test_what_goes_out_comes_back(form: ModuleType, tmp_path: Path) -> None:
    ours = (slo(dashboard="resilience"), slo(name="chat", route="GET /chat", alert="Chat", objective=90, arm=PAGES))
    # sloth has all its SLOs in one document.
    back = form.read(written(form, tmp_path / "slos.yml", *ours))
    assert tuple(back.slos) == ours
    assert list(back.lost) == []


@pytest.mark.parametrize("arms", [WORKBOOK, PAGES[:1], PAGES])
def test_what_is_printed_for_the_slo_file_is_read_from_it(arms: Any) -> None:
    ours = slo(arm=arms, dashboard="resilience")
    assert Slos.model_validate(tomllib.loads(exchange.toml([ours]))).slo == (ours,)


def test_sloth_has_the_arms_of_the_workbook_alone() -> None:
    odd = sloth.write(Slos(slo=(slo(arm=PAGES[:1]),)), "g")
    assert list(odd.lost) == ["slo homepage: arms other than the workbook's"]
    assert list(sloth.write(Slos(slo=(slo(arm=PAGES),)), "g").lost) == []


@FORMATS
def test_what_no_format_has_a_word_for_is_told(form: ModuleType) -> None:
    told = {"summary": "s", "description": "d"}
    ours = Slos.model_validate(
        {
            "fallback": [{"edge": "a->b", "share": 1, "window": "2m", "alert": "A", **told}],
            "queue": [{"queue": "a.b", "limit": 1, "rate": 1, "alert": "B", **told}],
            "limit": [{"metric": "up", "by": ["job"], "below": 1, "alert": "C", **told}],
            "waiver": [{"alert": "A", "reason": "r", "owner": "o", "until": "2027-01-01"}],
        }
    )
    exchanged = form.write(ours, "gateway")
    assert exchanged.documents == []
    assert [each.split(":")[0] for each in exchanged.lost] == [
        "fallback a->b",
        "queue a.b",
        "limit C",
        "waiver of alert A",
    ]


def changed(form: ModuleType, path: Path, change: Any) -> Path:
    """The exported file, changed by hand."""
    written(form, path, slo())
    document = YAML(typ="safe").load(path)
    change(document)
    path.write_text(alerts.yaml(document))
    return path


def put(*keys: str | int, value: Any) -> Any:
    def change(document: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


CONDITION = ("spec", "alertPolicies", 0, "spec", "conditions", 0)
RATIO = ("spec", "indicator", "spec", "ratioMetric")
OTHER = 'sum(probe_success{route="GET /api/homepage"})'


@pytest.mark.parametrize(
    ("form", "change", "words"),
    [
        (sloth, put("labels", value={"team": "a"}), "labels: gameday has no such thing"),
        (sloth, put("slos", 0, "labels", value={"team": "a"}), "slo homepage: labels: team"),
        (sloth, put("slos", 0, "plugins", value={"chain": []}), "slo homepage: plugins: chain"),
        (sloth, put("slos", 0, "alerting", "annotations", "runbook", value="u"), "alerting.annotations: runbook"),
        (sloth, put("slos", 0, "alerting", "page_alert", "labels", "to", value="x"), "alerting.page_alert.labels: to"),
        (openslo, put("metadata", "labels", value={"team": "a"}), "metadata.labels: gameday has no such thing"),
        (openslo, put("spec", "timeWindow", value=[{"duration": "28d", "isRolling": True}]), "timeWindow: gameday"),
        (openslo, put("spec", "alertPolicies", 0, value={"alertPolicyRef": "p"}), "alertPolicies[0]: only conditions"),
        (openslo, put(*CONDITION, value={"conditionRef": "c"}), "alertPolicies[0]: its condition stands elsewhere"),
        (openslo, put(*CONDITION, "spec", "severity", value="sev1"), "alertPolicies[0]: severity sev1"),
        (openslo, put(*CONDITION, "spec", "condition", "op", value="lte"), "op lte"),
        (openslo, put(*CONDITION, "spec", "condition", "alertAfter", value="5m"), "alertAfter 5m"),
        (openslo, put(*CONDITION, "metadata", "annotations", value={}), "no short window: 5m, a twelfth"),
        (openslo, put("metadata", "annotations", value={}), "it names no alert: called HomepageUnavailable"),
        (openslo, put(*RATIO, "good", "metricSource", "spec", "query", value=OTHER), exchange.OTHER_QUERY),
    ],
)
def test_what_is_lost_of_an_imported_slo_is_told(form: ModuleType, change: Any, words: str, tmp_path: Path) -> None:
    back = form.read(changed(form, tmp_path / "slos.yml", change))
    assert len(back.slos) == 1
    assert any(words in told for told in back.lost), back.lost


@pytest.mark.parametrize(
    ("form", "change", "words"),
    [
        (sloth, put("slos", 0, "sli", value={"raw": {"error_ratio_query": "1"}}), "left out: its queries"),
        (sloth, put("slos", 0, "sli", "events", "error_query", value="sum(errors)"), "left out: its queries"),
        (openslo, put("spec", "budgetingMethod", value="Timeslices"), "left out: budgetingMethod Timeslices"),
        (openslo, put("spec", "objectives", value=[{"target": 0.9}, {"target": 0.8}]), "left out: several objectives"),
        (openslo, put("spec", "indicator", value=None), "left out: no ratioMetric"),
        (openslo, put(*RATIO, value={"rawType": "success", "raw": {"metricSource": {"spec": {}}}}), "no ratioMetric"),
        (openslo, lambda document: document.update(kind="Service"), "Service homepage: only SLOs are read"),
    ],
)
def test_an_slo_of_something_else_is_left_out_and_told(
    form: ModuleType, change: Any, words: str, tmp_path: Path
) -> None:
    back = form.read(changed(form, tmp_path / "slos.yml", change))
    assert list(back.slos) == []
    assert any(words in told for told in back.lost), back.lost


@pytest.mark.parametrize(
    ("form", "change", "key", "written_as"),
    [
        (sloth, put("version", value="prometheus/v2"), "version", "version: "),
        (sloth, put("slos", 0, "objectiv", value=1), "slos[0].objectiv", "objectiv: "),
        (sloth, put("slos", 0, "objective", value=100), "slos[0].objective", "objective: "),
        (openslo, put("apiVersion", value="openslo/v1alpha"), "apiVersion", "apiVersion: "),
        (openslo, put("spec", "service", value=1), "spec.service", "service: "),
        (
            openslo,
            put(*CONDITION, "spec", "condition", "treshold", value=1),
            "spec.alertPolicies[0].spec.conditions[0].spec.condition.treshold",
            "treshold: ",
        ),
    ],
)
def test_what_is_wrong_is_told_with_line_and_key(
    form: ModuleType, change: Any, key: str, written_as: str, tmp_path: Path
) -> None:
    path = changed(form, tmp_path / "slos.yml", change)
    with pytest.raises(InputError) as caught:
        form.read(path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == (path, key)
    assert written_as in path.read_text().splitlines()[(problem.line or 0) - 1]


def test_a_target_is_a_share_or_a_percentage(tmp_path: Path) -> None:
    share = changed(openslo, tmp_path / "slos.yml", put("spec", "objectives", value=[{"target": 0.9995}]))
    assert openslo.read(share).slos[0].objective == 99.95


def test_a_window_of_seconds_is_none_that_openslo_has() -> None:
    arm = {"severity": "page", "long": "10m", "short": "50s", "burn": 2}
    with pytest.raises(InputError, match="a window of 50s"):
        openslo.write(Slos(slo=(slo(arm=[arm]),)), "g")


def gameday(*arguments: str) -> Result:
    app = typer.Typer()
    command.register(app)
    ran = CliRunner().invoke(app, ["alerts", *arguments])
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran


@pytest.mark.parametrize("form", ["openslo", "sloth"])
def test_the_commands_carry_the_slos_of_the_reference_system(form: str, tmp_path: Path) -> None:
    out = gameday("export", "-f", str(ROOT / "docker-compose.yml"), "--format", form)
    assert "not carried over: fallback api-gateway->cache" in out.stderr
    (tmp_path / "slos.yml").write_text(out.stdout)
    back = gameday("import", "--format", form, str(tmp_path / "slos.yml"))
    assert back.stdout.startswith("[[slo]]\n")
    assert 'alert = "HomepageUnavailable"' in back.stdout
    assert back.stderr == ""


def test_a_file_of_which_nothing_can_be_imported_is_wrong(tmp_path: Path) -> None:
    path = changed(openslo, tmp_path / "slos.yml", put("spec", "budgetingMethod", value="Timeslices"))
    with pytest.raises(InputError, match="nothing to import: slo homepage: left out"):
        gameday("import", "--format", "openslo", str(path))
