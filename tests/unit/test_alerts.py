"""From an SLO file to rules: read strictly, scaled from one table, the same alerts at each scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gameday import alerts
from gameday.alerts.timers import FLOORS, TABLE, delivery, prometheus, timer
from gameday.catalogue import Catalogue, compose
from gameday.errors import InputError, Problem

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "alerts" / "_gen"

GOOD = """
[[slo]]
name = "homepage"
route = "GET /api/homepage"
objective = 99.9
alert = "HomepageUnavailable"
summary = "s"
description = "d"

[[fallback]]
edge = "api-gateway->recommendation-svc"
share = 10
window = "2m"
for = "15s"
alert = "RecommendationUnavailable"
summary = "s"
description = "d"

[[queue]]
queue = "notification-svc.user.purchased"
limit = 20
rate = 10
for = "1m"
alert = "PurchaseMailsWait"
summary = "s"
description = "d"

[[limit]]
metric = "gen_ai_client_operation_time_to_first_chunk_seconds"
by = ["gen_ai_request_model"]
window = "3m"
quantile = 0.75
above = 1.28
for = "30s"
alert = "FirstWordLate"
summary = "s"
description = "d"

[[limit]]
metric = "up"
by = ["job"]
below = 1
alert = "TargetDown"
summary = "s"
description = "d"
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment={})


def built(directory: Path, catalogue: Catalogue, scale: float, source: str = GOOD) -> dict[str, Any]:
    slos = directory / "slos.toml"
    slos.write_text(source)
    paths = alerts.build(slos, catalogue, scale, directory / "out")
    return {path.name: YAML(typ="safe").load(path.read_text()) for path in paths}


def problems(directory: Path, catalogue: Catalogue, source: str) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        built(directory, catalogue, 1, source)
    return caught.value.problems


def rules(files: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [rule for group in files["rules.yml"]["groups"] for rule in group["rules"] if kind in rule]


def test_the_committed_files_are_what_the_slo_file_says(tmp_path: Path, catalogue: Catalogue) -> None:
    paths = alerts.build(ROOT / "alerts" / "slos.toml", catalogue, 1, tmp_path)
    assert {path.name: path.read_text() for path in paths} == {
        path.name: path.read_text() for path in GENERATED.iterdir()
    }
    assert all("Generated" in path.read_text().splitlines()[0] for path in paths)


def test_every_service_with_metrics_is_a_job_of_its_name(tmp_path: Path, catalogue: Catalogue) -> None:
    jobs = {job["job_name"]: job for job in built(tmp_path, catalogue, 1)["prometheus.yml"]["scrape_configs"]}
    with_metrics = {service.name for service in catalogue.services.values() if service.metrics_path}
    assert with_metrics and with_metrics <= set(jobs)
    assert jobs["api-gateway"]["static_configs"] == [{"targets": ["api-gateway:3000"]}]


def test_the_prober_asks_as_a_user_from_outside_the_gateway(tmp_path: Path, catalogue: Catalogue) -> None:
    jobs = {job["job_name"]: job for job in built(tmp_path, catalogue, 1)["prometheus.yml"]["scrape_configs"]}
    probe = jobs["blackbox"]
    assert probe["static_configs"] == [
        {"targets": ["http://api-gateway:3000/api/homepage"], "labels": {"route": "GET /api/homepage"}}
    ]
    assert {"target_label": "__address__", "replacement": "blackbox:9115"} in probe["relabel_configs"]


def test_four_arms_page_and_ticket_each_under_its_windows(tmp_path: Path, catalogue: Catalogue) -> None:
    found = [rule for rule in rules(built(tmp_path, catalogue, 1), "alert") if rule["alert"] == "HomepageUnavailable"]
    assert [(rule["labels"]["severity"], rule["labels"]["window"]) for rule in found] == [
        ("page", "1h/5m"),
        ("page", "6h/30m"),
        ("ticket", "1d/2h"),
        ("ticket", "3d/6h"),
    ]


def test_each_alert_says_what_to_do(tmp_path: Path, catalogue: Catalogue) -> None:
    for rule in rules(built(tmp_path, catalogue, 1, (ROOT / "alerts" / "slos.toml").read_text()), "alert"):
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description", "runbook_url", "dashboard"}
        assert (ROOT / annotations["runbook_url"]).is_file()
        assert (ROOT / "dashboards" / "_gen" / f"{Path(annotations['dashboard']).name}.json").is_file()


def test_a_scaled_build_has_the_same_names_and_shorter_windows(tmp_path: Path, catalogue: Catalogue) -> None:
    production, scaled = built(tmp_path, catalogue, 1), built(tmp_path, catalogue, 30)
    names = [{rule["record"] for rule in rules(files, "record")} for files in (scaled, production)]
    assert names[0] < names[1]
    (arm,) = [rule for rule in rules(scaled, "alert") if rule["alert"] == "HomepageUnavailable"]
    assert arm["labels"]["window"] == "1h/5m"
    expressions = {rule["record"]: rule["expr"] for rule in rules(scaled, "record")}
    assert "[2m]" in expressions["slo:probe_errors:ratio_1h"]
    assert "[10s]" in expressions["slo:probe_errors:ratio_5m"]
    assert scaled["prometheus.yml"]["global"]["scrape_interval"] == "1s"


def test_no_timer_goes_below_its_floor() -> None:
    for name, stated in TABLE.items():
        assert timer(name, 1) == stated.value
        assert timer(name, 1e6) == stated.floor
    for name, floor in FLOORS.items():
        assert timer(name, 1e6, production=3600) == floor
        assert timer(name, 1e6, production=floor / 2) == floor / 2


def test_a_scrape_never_times_out_after_the_next_one_begins() -> None:
    assert all(timer("scrape_timeout", scale) <= timer("scrape_interval", scale) for scale in (1, 2, 7, 30, 1000))


def test_delivery_is_the_sum_of_scrape_evaluation_and_grouping() -> None:
    assert delivery(1) == 40
    assert delivery(30) == 2.5


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "500ms"), (1, "1s"), (90, "90s"), (300, "5m"), (3600, "1h"), (259200, "3d")]
)
def test_durations_are_written_as_prometheus_does(seconds: float, text: str) -> None:
    assert prometheus(seconds) == text


@pytest.mark.parametrize(
    ("change", "at", "told"),
    [
        (("rate = 10", "rate = 0"), (22, "queue[0].rate"), ("greater than 0", "correct rate")),
        (("-svc.user.purchased", "-svc.user.purchase"), (20, "queue[0].queue"), ("no queue", "user.purchased")),
        (("PurchaseMailsWait", "HomepageUnavailable"), (24, "queue[0].alert"), ("used twice", "its own")),
        (("TargetDown", "FirstWordLate"), (43, "limit[1].alert"), ("used twice", "its own")),
        (("quantile = 0.75", "quantile = 75"), (32, "limit[0].quantile"), ("less than 1", "correct quantile")),
        (('window = "3m"\n', ""), (28, "limit[0]"), ("a quantile needs a window", "correct")),
        (("above = 1.28", "below = 1.28"), (28, "limit[0]"), ("too high where it is above", "correct")),
        (("above = 1.28", "above = 0"), (28, "limit[0]"), ("more than 0", "correct")),
        (("below = 1", ""), (39, "limit[1]"), ("either above or below", "correct")),
        (("below = 1", "below = 1\nabove = 2"), (39, "limit[1]"), ("either above or below", "correct")),
        (('by = ["job"]', "by = []"), (41, "limit[1].by"), ("at least 1", "correct by")),
        (('"3m"', '"16d"'), (31, "limit[0].window"), ("longer than the 15d", "at most 15d")),
        (("share = 10", "shar = 10"), (12, "fallback[0].shar"), ("unknown key 'shar'", "did you mean share")),
        (("objective = 99.9", "objective = 100"), (5, "slo[0].objective"), ("100 %", "99.9")),
        (("objective = 99.9", ""), (2, "slo[0].objective"), ("missing", "add objective")),
        (('window = "2m"', 'window = "16d"'), (13, "fallback[0].window"), ("longer than the 15d", "at most 15d")),
        (('window = "2m"', "window = 120"), (13, "fallback[0].window"), ("not a duration", "correct window")),
        (
            ("->recommendation-svc", "->recomendation-svc"),
            (11, "fallback[0].edge"),
            ("no such edge", "recommendation-svc"),
        ),
        (("GET /api/homepage", "GET /api/home"), (4, "slo[0].route"), ("no route that is probed", "GET /api/homepage")),
        (("RecommendationUnavailable", "HomepageUnavailable"), (15, "fallback[0].alert"), ("used twice", "its own")),
        (("[[fallback]]", "[[fallback"), (10, None), ("Expected", "valid TOML")),
    ],
)
def test_a_wrong_slo_file_is_told_with_line_and_mend(
    tmp_path: Path, catalogue: Catalogue, change: tuple[str, str], at: tuple[int, str | None], told: tuple[str, str]
) -> None:
    message, mend = told
    found = problems(tmp_path, catalogue, GOOD.replace(*change))
    assert [(problem.line, problem.key) for problem in found if message in problem.message] == [at]
    assert any(mend in problem.mend for problem in found)
    assert all(problem.file == tmp_path / "slos.toml" for problem in found)


def test_a_window_of_an_arm_longer_than_the_retention_is_told_at_its_line(tmp_path: Path, catalogue: Catalogue) -> None:
    arm = '[[slo.arm]]\nseverity = "page"\nlong = "30d"\nshort = "1d"\nburn = 1\n'
    (problem,) = problems(tmp_path, catalogue, GOOD.replace("\n[[fallback]]", arm + "[[fallback]]"))
    assert (problem.line, problem.key, problem.value) == (11, "slo[0].arm[0].long", "30d")


def test_an_arm_that_can_never_fire_is_told(tmp_path: Path, catalogue: Catalogue) -> None:
    (first, *_) = problems(tmp_path, catalogue, GOOD.replace("objective = 99.9", "objective = 90"))
    assert "can never fire" in first.message


def test_all_problems_are_told_at_once(tmp_path: Path, catalogue: Catalogue) -> None:
    source = GOOD.replace("share = 10", "shar = 10").replace("objective = 99.9", "objective = 100")
    assert len(problems(tmp_path, catalogue, source)) == 3


def test_a_missing_slo_file_is_told(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        alerts.build(tmp_path / "none.toml", catalogue, 1, tmp_path)


def test_every_alert_has_a_test_that_it_fires_and_one_that_it_is_silent(tmp_path: Path, catalogue: Catalogue) -> None:
    files = built(tmp_path, catalogue, 1)
    cases = [case for name in files if name.endswith("_test.yml") for case in files[name]["tests"]]
    for rule in rules(files, "alert"):
        labels = {"alertname": rule["alert"], **{k: v for k, v in rule["labels"].items() if k == "window"}}
        selector = ", ".join(f'{key}="{value}"' for key, value in labels.items())
        outcomes = [
            bool(test["exp_samples"]) for case in cases for test in case["promql_expr_test"] if selector in test["expr"]
        ]
        assert {True, False} == set(outcomes), rule["alert"]


def test_a_build_that_changes_nothing_touches_nothing(tmp_path: Path, catalogue: Catalogue) -> None:
    built(tmp_path, catalogue, 1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    built(tmp_path, catalogue, 1)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}


def test_an_alert_of_a_queue_fires_once_for_all_who_measure_it(tmp_path: Path, catalogue: Catalogue) -> None:
    (rule,) = [each for each in rules(built(tmp_path, catalogue, 30), "alert") if each["alert"] == "PurchaseMailsWait"]
    assert rule["expr"] == 'max by (queue) (queue_messages{queue="notification-svc.user.purchased"}) > 20'
    assert (rule["for"], rule["labels"]) == ("2s", {"severity": "ticket"})


def test_a_queue_is_predicted_to_fill_at_its_own_rate_at_every_scale(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "slos.toml").write_text(GOOD)
    slos = alerts.read(tmp_path / "slos.toml", catalogue)
    assert alerts.detection(slos, 1)["PurchaseMailsWait"] == 20 / 10 + 60 + delivery(1)
    assert alerts.detection(slos, 30)["PurchaseMailsWait"] == 20 / 10 + 2 + delivery(30)


def rule(directory: Path, catalogue: Catalogue, alert: str) -> dict[str, Any]:
    (found,) = [each for each in rules(built(directory, catalogue, 30), "alert") if each["alert"] == alert]
    return found


def test_a_gauge_is_held_against_its_limit_for_each_of_its_labels(tmp_path: Path, catalogue: Catalogue) -> None:
    found = rule(tmp_path, catalogue, "TargetDown")
    assert found["expr"] == "min by (job) (up) < 1"
    assert "for" not in found
    assert found["annotations"]["description"] == "d {{ $value | humanize }} of {{ $labels.job }} (at least 1)."


def test_a_quantile_is_that_of_a_scaled_window(tmp_path: Path, catalogue: Catalogue) -> None:
    found = rule(tmp_path, catalogue, "FirstWordLate")
    metric = "gen_ai_client_operation_time_to_first_chunk_seconds_bucket"
    rates = f"sum by (gen_ai_request_model, le) (rate({metric}[6s]))"
    assert found["expr"] == f"histogram_quantile(0.75, {rates}) > 1.28"
    assert found["for"] == "1s"


def test_as_many_must_be_slow_as_a_quantile_leaves_out(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "slos.toml").write_text(GOOD)
    slos = alerts.read(tmp_path / "slos.toml", catalogue)
    assert alerts.detection(slos, 1)["FirstWordLate"] == 0.25 * 180 + 30 + delivery(1)
    assert alerts.detection(slos, 1)["TargetDown"] == delivery(1)
