"""JUnit XML for CI: a suite a result, a case a finding."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from gameday.report import words
from gameday.verdict import Finding, Result, Verdict, Verdicts

# What did not happen as it should is a failure; what could not be told is an error.
# Neither is ever skipped: a CI server shows skipped as green.
_ELEMENTS = {
    Verdict.REFUTED: "failure",
    Verdict.LEAKED: "failure",
    Verdict.INCONCLUSIVE: "error",
    Verdict.NOT_INJECTED: "error",
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(verdicts: Verdicts) -> str:
    root = ET.Element("testsuites", name="gameday", time=f"{verdicts.seconds:.3f}")
    for result in verdicts.results:
        root.append(_suite(result))
    if not verdicts.results:
        root.append(_suite(Result(suite="experiments", name="gameday", title="Nothing was judged", findings=())))
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(result: Result) -> ET.Element:
    cases = [_case(result, finding) for finding in result.findings] or [_nothing(result)]
    suite = ET.Element("testsuite", name=f"{result.suite}.{_clean(result.name)}", time=f"{result.seconds:.3f}")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", str(sum(case.find("error") is not None for case in cases)))
    suite.set("skipped", "0")
    properties = ET.SubElement(suite, "properties")
    ET.SubElement(properties, "property", name="title", value=_clean(result.title))
    ET.SubElement(properties, "property", name="verdict", value=str(result.verdict))
    suite.extend(cases)
    return suite


def _case(result: Result, finding: Finding) -> ET.Element:
    case = _empty_case(result, f"{finding.check}: {finding.subject}")
    if finding.file:
        case.set("file", _clean(finding.file))
    if finding.line:
        case.set("line", str(finding.line))
    body = f"expected: {finding.expected}\nobserved: {finding.observed}"
    body += "".join(f"\n{line}" for line in (words.evidence(finding), finding.detail) if line)
    if name := _ELEMENTS.get(finding.verdict):
        outcome = ET.SubElement(case, name, type=str(finding.verdict), message=_clean(finding.observed))
        outcome.text = _clean(body)
    else:
        ET.SubElement(case, "system-out").text = _clean(body)
    return case


def _nothing(result: Result) -> ET.Element:
    case = _empty_case(result, "nothing was judged")
    ET.SubElement(case, "error", type=str(Verdict.INCONCLUSIVE), message="nothing was judged")
    return case


def _empty_case(result: Result, name: str) -> ET.Element:
    return ET.Element("testcase", classname=f"{result.suite}.{_clean(result.name)}", name=_clean(name), time="0.000")


def _clean(text: str) -> str:
    """Without the control characters that no XML may hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
