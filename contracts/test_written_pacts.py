"""Runs after the tests that write pacts, over what they wrote."""

from __future__ import annotations

from pathlib import Path

COMMITTED = Path(__file__).parent / "pacts"


def test_the_committed_pacts_are_what_the_tests_write(pacts: Path) -> None:
    written = {file.name: file.read_text() for file in pacts.glob("*.json")}
    committed = {file.name: file.read_text() for file in COMMITTED.glob("*.json")}
    assert written == committed, "run `pytest contracts --write-pacts` and commit"
