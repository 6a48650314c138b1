"""What one command judged, for people (`report.html`, `summary.md`) and for machines (`junit.xml`, `verdict.json`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gameday.journal import History
from gameday.report import html, json, junit, markdown, workflow
from gameday.verdict import Verdicts

__all__ = ["write"]


def write(verdicts: Verdicts, histories: Mapping[str, History], out: Path) -> Path:
    """Writes the four files into the directory `out` and returns the path of `report.html`.

    `histories` holds the history of a result under the result's name, where it has
    one. With CI=true in the environment, what is not confirmed is also printed as
    annotations.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "verdict.json").write_text(json.render(verdicts), encoding="utf-8")
    (out / "junit.xml").write_text(junit.render(verdicts), encoding="utf-8")
    (out / "summary.md").write_text(markdown.render(verdicts), encoding="utf-8")
    report = out / "report.html"
    report.write_text(html.render(verdicts, histories), encoding="utf-8", errors="replace")
    if os.environ.get("CI") == "true":
        for line in workflow.render(verdicts):
            print(line, flush=True)
    return report
