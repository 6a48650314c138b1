"""The report: verdict first, everything on one time axis, and never green by accident."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from report_samples import BEGAN, CONTROL, EDGE, END, FAULT, all_verdicts, finding, history, request, result, verdicts

from gameday import report
from gameday.journal import History, Record
from gameday.report import figure, timeline, trace, words, workflow
from gameday.report import json as verdict_json
from gameday.report.timeline import Answer
from gameday.verdict import Verdict, Verdicts

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    assert report.write(*all_verdicts(), out) == out / "report.html"
    return out


class Page(HTMLParser):
    """The text of a page and what it would load, without its scripts and styles."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.loads, self.ids, self.links, self._inside = "", [], [], [], ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        attributes = dict(attrs)
        self.loads += [value for name, value in attrs if name in ("src", "srcset", "data") or tag == "link"]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page((written / "report.html").read_text())


def test_the_page_says_the_verdict_before_anything_else(page: Page) -> None:
    told = " ".join(page.text.split())
    assert told.index("A fault was left in force") < told.index("What is not confirmed") < told.index("Results")
    assert "3 of 7 results are confirmed; 1 refuted, 1 inconclusive, 1 not injected, 1 leaked." in told


def test_the_worst_is_named_first(page: Page) -> None:
    told = page.text[page.text.index("What is not confirmed") : page.text.index("Results")]
    order = [told.index(verdict) for verdict in ("leaked", "refuted", "not-injected", "inconclusive")]
    assert order == sorted(order)


def test_the_page_loads_nothing_and_its_links_lead_somewhere(page: Page) -> None:
    assert page.loads == []
    assert {link for link in page.links if link.startswith("#")} == set(page.links)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_the_page_tells_evidence_substitutions_and_what_was_left_out(page: Page) -> None:
    for told in ("dead: 4711", "refused: 182", "gameday recover", "PostgreSQL 18.4", "user-down", "no evidence"):
        assert told in page.text


def test_the_page_shows_every_finding_with_n_and_interval(page: Page) -> None:
    for told in ("bad <= 1 of 300", "0 of 472 bad", "99.2 % to 100 %", "contracts/gateway_recommendation.py:12"):
        assert told in page.text


def test_what_a_service_answered_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    one = result("evil", evil, finding(Verdict.REFUTED, observed=evil, subject=evil))
    records = list(history().records)
    records.append(
        Record(9999, 0, 0, "alert", {"name": evil, "status": "firing", "labels": {}, "received_wall": records[0].wall})
    )
    kept = request()
    kept["lines"][0]["line"]["edge"] = kept["spans"][0]["name"] = evil
    records.append(Record(10000, 0, 0, "trace", kept))
    report.write(verdicts(one), {"evil": History(tuple(records))}, tmp_path)
    source = (tmp_path / "report.html").read_text()
    assert "<script>alert(1)" not in source
    assert "<img" not in source
    assert Page(source).loads == []


def test_the_figure_has_one_time_axis_and_a_row_for_each_kind_of_witness() -> None:
    read = timeline.read(history())
    assert read
    drawn = figure.draw(read)
    assert {trace["xaxis"] for trace in drawn["data"]} == {"x"}
    titles = [note["text"] for note in drawn["layout"]["annotations"]]
    for row in ("Load", "Latency", "Errors", "Breaker", "Alerts"):
        assert any(row in title for title in titles)
    axes = [drawn["layout"][f"yaxis{n}"]["domain"] for n in ("", 2, 3, 4, 5)]
    assert all(upper[0] > lower[1] for upper, lower in itertools.pairwise(axes))
    shades = [(round(s["x0"], 1), round(s["x1"], 1)) for s in drawn["layout"]["shapes"] if s["type"] == "rect"]
    assert shades == [(CONTROL, FAULT + 0.9), (CONTROL + 0.2, FAULT + 0.9)]
    json.dumps(drawn, allow_nan=False)


@pytest.mark.parametrize(
    ("slowest", "ticks"),
    [(60.0, ["1", "2", "5", "10", "20", "50", "100", "200", "500"]), (6000.0, ["1", "10", "100", "1000", "10000"])],
)
def test_the_ticks_of_latency_are_whole_numbers_of_milliseconds(slowest: float, ticks: list[str]) -> None:
    requests = [Record(n, 0, 0, "request", _request(n, ms)) for n, ms in enumerate((3.0, slowest))]
    read = timeline.read(History(tuple(requests)))
    assert read and figure.draw(read)["layout"]["yaxis2"]["ticktext"] == ticks


def _request(at: float, ms: float) -> dict[str, object]:
    return {"route": "GET /", "status": 200, "ms": ms, "intended_wall": at, "json": None, "error": None}


def test_one_request_is_drawn_span_by_span_with_what_was_written_about_it(page: Page) -> None:
    told = " ".join(page.text.split())
    for said in ("failed: connection refused", "its parent is not here", "fallback_served", "reason: connection"):
        assert said in told
    kept = trace.read(history())
    assert kept
    root, call, orphan = kept.bars
    assert (root.depth, round(root.left), round(root.width), root.failed) == (0, 0, 100, False)
    assert (call.depth, round(call.left), round(call.width), call.failed) == (1, 20, 60, True)
    assert (orphan.depth, orphan.left + orphan.width <= 100) == (0, True)
    assert [(round(line.ms or 0), line.event) for line in kept.lines] == [(41, "fallback_served"), (49, "request")]
    assert kept.lines[1].fields == "status: 200", "what all lines of a request say is said once"


def test_a_store_that_did_not_answer_is_told(tmp_path: Path) -> None:
    kept = Record(9999, 0, 0, "trace", {"trace": None, "spans": [], "lines": [], "error": "cannot ask for traces"})
    told = History((*history(observed=False).records, kept))
    report.write(verdicts(result("gone", "Gone", finding(Verdict.CONFIRMED))), {"gone": told}, tmp_path)
    assert "cannot ask for traces" in Page((tmp_path / "report.html").read_text()).text


def test_the_timeline_tells_what_users_got() -> None:
    read = timeline.read(history())
    assert read
    fallback = [request.at for request in read.requests if request.answer is Answer.OTHER]
    assert (min(fallback), max(fallback)) == pytest.approx((CONTROL + 0.2, FAULT + 1.6), abs=0.05)
    assert read.changed == ("recommendations.source = fallback",)
    assert sum(sum(bucket.counts.values()) for bucket in read.buckets) == len(read.requests) == END * 40
    failed = timeline.read(history(falls_back=False))
    assert failed and {request.answer for request in failed.requests} == {Answer.SAME, Answer.FAILED}


def test_a_fallback_now_and_then_in_control_does_not_hide_those_of_the_fault() -> None:
    whole = history()
    records = [
        replace(r, data={**r.data, "json": {"recommendations.source": "fallback", "count": n}}) if n % 37 == 0 else r
        for n, r in enumerate(whole.records)
        if r.kind == "request"
    ]
    read = timeline.read(replace(whole, records=(*records, *(r for r in whole.records if r.kind != "request"))))
    assert read and read.changed == ("recommendations.source = fallback",)
    assert sum(request.answer is Answer.OTHER for request in read.requests) > 450


def test_the_timeline_tells_breaker_and_alert() -> None:
    read = timeline.read(history())
    assert read
    changes = [(at, state) for at, state in read.breakers[EDGE] if state]
    assert changes[0] == (11.0, 2)
    (lane,) = read.alerts
    assert [(span.name, span.start, span.end) for span in lane.spans] == [("pending", 12, 14), ("firing", 14, 26)]
    assert [(round(at, 1), status) for at, status in lane.notified] == [(14.6, "firing"), (28.2, "resolved")]


def test_breakers_that_stayed_closed_are_counted_and_not_drawn() -> None:
    read = timeline.read(history())
    assert read and set(read.breakers) == {EDGE, "api-gateway->cache"}
    drawn = figure.draw(read)
    assert "api-gateway->cache" not in json.dumps(drawn)
    assert any("(1 more stayed closed)" in note["text"] for note in drawn["layout"]["annotations"])


def test_queues_that_filled_are_drawn_with_the_most_that_anybody_measured() -> None:
    whole = history()
    began = whole.records[1].data["wall"]

    def measured(queue: str, instance: str, at: float, depth: float) -> Record:
        data = {"metric": "queue_messages", "labels": {"queue": queue, "instance": instance}}
        return replace(whole.records[1], kind="sample", data={**data, "wall": began + at, "value": depth})

    more = [
        measured("mail.bought", "shop", 12.2, 30.0),
        measured("mail.bought", "mail", 12.7, 70.0),
        measured("mail.bought", "mail", 13.7, 3.0),
        measured("mail.bought", "mail", 14.7, math.nan),
        measured("audit.decided", "shop", 12.2, 3.0),
    ]
    read = timeline.read(replace(whole, records=(*whole.records, *more)))
    assert read and read.queues["mail.bought"] == ((12, 70.0), (13, 3.0))
    assert "Queue mail.bought: 70 messages wait, the most" in [moment.text for moment in read.moments]
    drawn = json.dumps(figure.draw(read))
    assert "mail.bought" in drawn and "Messages that wait" in drawn
    assert "audit.decided" not in drawn
    assert "Messages that wait" not in json.dumps(figure.draw(timeline.read(whole)))  # type: ignore[arg-type]


def test_a_window_of_several_faults_says_so() -> None:
    read = timeline.read(history())
    assert read
    (fault,) = read.faults
    for faults, told in (((fault,), "<b>fault: kill recommendation-svc</b>"), ((fault, fault), "svc and 1 more</b>")):
        drawn = figure.draw(replace(read, faults=faults))
        assert any(told in note["text"] for note in drawn["layout"]["annotations"]), told


def test_the_moments_are_in_order_and_tell_the_story() -> None:
    read = timeline.read(history())
    assert read
    assert [moment.at for moment in read.moments] == sorted(moment.at for moment in read.moments)
    story = [moment.text for moment in read.moments]
    assert story.index("kill recommendation-svc: in force") < story.index(f"Breaker {EDGE}: open")
    assert story.index("Alert RecommendationUnavailable: pending") < story.index(
        "Alert RecommendationUnavailable: notified as firing"
    )


def test_a_hole_in_the_samples_ends_a_span() -> None:
    whole = history()
    holed = replace(
        whole,
        records=tuple(
            record
            for record in whole.records
            if record.kind != "alert_state" or not 16 < record.data["wall"] - whole.records[1].data["wall"] < 21
        ),
    )
    read = timeline.read(holed)
    assert read
    assert [(span.name, span.start, span.end) for span in read.alerts[0].spans] == [
        ("pending", 12, 14),
        ("firing", 14, 16),
        ("firing", 21, 26),
    ]


def test_a_history_without_end_is_drawn_to_its_last_record() -> None:
    cut = History(tuple(r for r in history().records if r.data.get("window") != "recovery"), torn=True)
    read = timeline.read(cut)
    assert read and figure.draw(read)["layout"]["xaxis"]["range"][1] > read.length
    assert timeline.read(History(())) is None


def test_half_a_bucket_is_no_half_load() -> None:
    cut = [r for r in history().records if r.kind != "request" or 0.7 < r.data["intended_wall"] - BEGAN < 37.2]
    read = timeline.read(History(tuple(cut)))
    assert read
    rates = [sum(bucket.counts.values()) / bucket.width for bucket in read.buckets]
    assert rates == pytest.approx([40] * len(rates), rel=0.03)
    assert read.buckets[0].at - read.buckets[0].width / 2 == pytest.approx(0.7, abs=0.05)


def test_thinning_keeps_the_slowest_of_each_chunk() -> None:
    requests = [timeline.Request(at, 9999.0 if at == 777 else 10.0 + at % 7, Answer.SAME) for at in range(1000)]
    kept = timeline.thinned(requests, most=100)
    assert len(kept) <= 100
    assert [request.at for request in kept if request.ms == 9999.0] == [777]
    assert timeline.thinned(requests, most=5000) == requests


def test_junit_has_errors_and_failures_and_skips_nothing(written: Path) -> None:
    root = ET.parse(written / "junit.xml").getroot()
    outcomes = {
        suite.get("name", ""): [
            child.tag for case in suite.iter("testcase") for child in case if child.tag != "system-out"
        ]
        for suite in root
    }
    assert outcomes["experiments.recommendation-down"] == []
    assert outcomes["experiments.recommendation-slow"] == ["failure"]
    assert outcomes["experiments.prometheus-gone"] == ["error"]
    assert outcomes["experiments.chat-unused"] == ["error"]
    assert outcomes["experiments.undo-fails"] == ["failure"]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("9", "2", "2")
    assert not list(root.iter("skipped"))
    (refuted,) = [case for case in root.iter("testcase") if case.get("line") == "31"]
    assert refuted.get("file") == "experiments/recommendation-down.yaml"


def test_junit_survives_what_no_xml_may_hold(tmp_path: Path) -> None:
    report.write(verdicts(result("odd", "t\x00", finding(Verdict.REFUTED, observed="\x1b[31m<&\ud800"))), {}, tmp_path)
    assert ET.parse(tmp_path / "junit.xml").getroot().get("failures") == "1"


@pytest.mark.parametrize("results", [(), (result("empty", "No finding"),)])
def test_nothing_judged_is_an_error_and_no_good_news(tmp_path: Path, results: tuple[object, ...]) -> None:
    none = verdicts(*results)  # type: ignore[arg-type]
    report.write(none, {}, tmp_path)
    assert none.verdict is Verdict.INCONCLUSIVE
    assert ET.parse(tmp_path / "junit.xml").getroot().get("errors") == "1"
    assert "does not say" in (tmp_path / "report.html").read_text()


def test_verdict_json_is_valid_and_comes_back_as_it_was(written: Path) -> None:
    text = (written / "verdict.json").read_text()
    schema = json.loads((ROOT / "docs" / "verdict.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(text), schema)
    assert Verdicts.model_validate_json(text) == all_verdicts()[0]


def test_the_published_schema_is_that_of_the_model() -> None:
    assert (ROOT / "docs" / "verdict.schema.json").read_text() == verdict_json.render_schema()


def test_the_summary_names_what_failed_and_keeps_its_table(written: Path) -> None:
    lines = (written / "summary.md").read_text().splitlines()
    assert lines[0] == "## ! gameday: leaked"
    rows = [line for line in lines if line.startswith("| ") and "suite" not in line and "where" not in line]
    assert all(len(re.findall(r"(?<!\\)\|", row)) in (5, 6) for row in rows)
    assert any("experiments/recommendation-down.yaml:31" in line and "472 of 472 bad" in line for line in lines)
    assert "- experiments/user-down.yaml: not in the covering set" in lines


def test_a_cell_of_the_summary_cannot_break_the_table(tmp_path: Path) -> None:
    report.write(verdicts(result("odd", "a | b\n<b>", finding(Verdict.REFUTED, observed="x|y\nz"))), {}, tmp_path)
    summary = (tmp_path / "summary.md").read_text()
    assert "a \\| b &lt;b&gt;" in summary
    assert "x\\|y z" in summary


def test_annotations_stand_at_file_and_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = finding(Verdict.REFUTED, observed="50 %\nbad", file=str(Path.cwd() / "experiments/a,b.yaml"), line=7)
    wrong = verdicts(result("slow", "Slow", found))
    report.write(wrong, {}, tmp_path)
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("CI", "true")
    report.write(wrong, {}, tmp_path)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "::error file=experiments/a%2Cb.yaml,line=7,title=refuted%3A slow::users of GET /api/homepage"
    )
    assert line.endswith("observed 50 %25%0Abad")


def test_confirmed_results_are_not_annotated() -> None:
    assert workflow.render(verdicts(result("good", "Good", finding(Verdict.CONFIRMED)))) == []


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_its_words(verdict: Verdict, tmp_path: Path) -> None:
    told = verdicts(result("one", "One", finding(verdict)))
    page = Page(report.write(told, {"one": history()}, tmp_path).read_text())
    assert words.HEADLINES[verdict] in " ".join(page.text.split())
    assert f"exit code {verdict.exit_code}" in page.text


def test_a_share_is_printed_in_percent() -> None:
    assert words.interval((0.0, 0.0081)) == "0 % to 0.81 %"
    assert words.interval((12.0, 415.0)) == "12 to 415"
