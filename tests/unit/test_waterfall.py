"""A trace drawn for a terminal."""

from __future__ import annotations

from rich.console import Console

from gameday.tools.jaeger import Span
from gameday.waterfall import waterfall


def span(name: str, parent: str = "", began: float = 0.0, took: float = 1.0, error: str | None = None) -> Span:
    return Span("t", name, parent, f"{name}-svc", name, began, began + took, error, {})


def drawn(*spans: Span) -> list[str]:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(waterfall(spans, width=10))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_children_stand_below_their_parent_at_their_time() -> None:
    head, root, child = drawn(span("b", "a", began=0.5, took=0.5), span("a"))
    assert head.endswith("1000.0 ms")
    assert root.split() == ["a-svc", "a", "1000.0", "█" * 10]
    assert "    b " in child
    assert child.endswith("      " + "█" * 5)


def test_an_error_and_a_missing_parent_are_told() -> None:
    _, orphan, failed = drawn(span("a", "gone"), span("b", error="refused", began=0.1))
    assert "its parent is not here" in orphan
    assert "refused" in failed


def test_a_span_that_is_its_own_ancestor_is_drawn_once() -> None:
    assert len(drawn(span("a", "b"), span("b", "a"), span("c", "c"))) == 4
