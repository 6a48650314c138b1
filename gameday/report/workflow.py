"""What is not confirmed, as GitHub workflow commands that CI shows at file and line."""

from __future__ import annotations

from gameday.report import words
from gameday.verdict import Finding, Result, Verdicts


def render(verdicts: Verdicts) -> list[str]:
    return [_command(result, finding) for result, finding in words.open_findings(verdicts)]


def _command(result: Result, finding: Finding) -> str:
    properties = {"file": words.file(finding)} if finding.file else {}
    if finding.file and finding.line:
        properties["line"] = str(finding.line)
    properties["title"] = f"{finding.verdict}: {result.name}"
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = f"{finding.check} of {finding.subject}: expected {finding.expected}; observed {finding.observed}"
    return f"::error {listed}::{_data(f'{message}. {finding.detail}' if finding.detail else message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
