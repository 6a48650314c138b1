"""promtool and amtool accept what is generated, and see what was weakened."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gameday import alerts
from gameday.catalogue import Catalogue, compose
from gameday.errors import InputError
from gameday.tools import promtool
from gameday.verdict import Verdict

ROOT = Path(__file__).parents[2]
# A gauge that is too low and a rate that is too high, of which the reference system has none.
LIMITS = """
[[limit]]
metric = "up"
by = ["job"]
below = 1
for = "30s"
alert = "TargetDown"
summary = "s"
description = "d"

[[limit]]
metric = "gen_ai_cost_usd_total"
by = ["gen_ai_request_model"]
window = "2m"
above = 0.005
alert = "LanguageModelDearer"
summary = "s"
description = "d"
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment={})


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The promise to users, the first lost edge and each limit: the rules of the others differ in their names only."""
    written = (ROOT / "alerts" / "slos.toml").read_text()
    promised, first, *_ = written.split("[[fallback]]")
    limits = "\n".join([*re.findall(r"\[\[limit\]\]\n(?:.+\n)+", written), LIMITS])
    file = tmp_path_factory.mktemp("alerts") / "slos.toml"
    file.write_text(f"{promised}[[fallback]]{first}{limits}")
    return file


# All of them at the gate's scale is what `gameday alerts test --time-scale 30` does, told elsewhere.
@pytest.mark.parametrize("scale", [1, 1000])
def test_the_files_of_every_scale_are_accepted(
    tmp_path: Path, catalogue: Catalogue, one_of_each: Path, scale: float
) -> None:
    alerts.build(one_of_each, catalogue, scale, tmp_path)
    result = promtool.check(tmp_path)
    assert result.verdict is Verdict.CONFIRMED, result.findings
    assert [finding.check for finding in result.findings] == ["promtool", "promtool", "promtool", "amtool"]


@pytest.mark.parametrize(
    "weaken",
    [
        lambda text: text.replace("> (14.4 * 0.001)", "> (144 * 0.001)"),
        lambda text: text.replace("\n          and\n", "\n          or\n"),
        lambda text: text.replace("> 0.1", "> 0.5"),
        lambda text: text.replace("> 0.1", "> 0.01"),
        lambda text: text.replace("> 0.1", "> 0.1 or vector(1)"),
        lambda text: text.replace("fallback_total{", "fallbacks_total{"),
        lambda text: text.replace("probe_success{", "probes_success{"),
        lambda text: text.replace("[10s]", "[2m]"),
        lambda text: text.replace("[2m]", "[1h]"),
        lambda text: text.replace("[2m]", "[30s]"),
        lambda text: text.replace("for: 1s", "for: 1h"),
        lambda text: text.replace("/ 120", "/ 60"),
        lambda text: text.replace("> 1.28", "> 2"),
        lambda text: text.replace("histogram_quantile(0.5,", "histogram_quantile(0.3,"),
        lambda text: text.replace("histogram_quantile(0.5,", "histogram_quantile(0.7,"),
        lambda text: text.replace("> 0.005", "> 0.006"),
        lambda text: text.replace("> 0.005", "> 0.004"),
        lambda text: text.replace("(up) < 1", "(up) < 2"),
        lambda text: text.replace("(up) < 1", "(up) < 0.5"),
        lambda text: text.replace(" - sum_over_time", " - 0 * sum_over_time"),
    ],
)
def test_a_weakened_rule_fails_its_own_test(
    tmp_path: Path, catalogue: Catalogue, one_of_each: Path, weaken: Callable[[str], str]
) -> None:
    alerts.build(one_of_each, catalogue, 30, tmp_path)
    rules = tmp_path / "rules.yml"
    weakened = weaken(rules.read_text())
    assert weakened != rules.read_text()
    rules.write_text(weakened)
    verdicts = {finding.subject: finding.verdict for finding in promtool.check(tmp_path).findings}
    assert verdicts["promtool test rules rules_test.yml"] is Verdict.REFUTED


def test_a_broken_configuration_is_refuted_with_what_the_tool_says(
    tmp_path: Path, catalogue: Catalogue, one_of_each: Path
) -> None:
    alerts.build(one_of_each, catalogue, 30, tmp_path)
    (tmp_path / "alertmanager.yml").write_text("route: {receiver: nobody}\n")
    (bad,) = [finding for finding in promtool.check(tmp_path).findings if finding.verdict is not Verdict.CONFIRMED]
    assert bad.check == "amtool"
    assert "nobody" in bad.detail


def test_a_missing_tool_is_told_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as caught:
        promtool.check(tmp_path)
    assert caught.value.problems[0].mend == "install it: sudo apt-get install prometheus"
