"""A trace as a tree with a bar for each span: where the time of a request went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Column, Table
from rich.text import Text

from gameday.tools.jaeger import Span

_WIDTH = 40
_BAR, _SLIVER = "█", "▏"


def waterfall(spans: Sequence[Span], width: int = _WIDTH) -> Table:
    """One row a span, children below their parent; a span whose parent is missing is told as such."""
    began, ended = min(span.start for span in spans), max(span.end for span in spans)
    whole = max(ended - began, 1e-9)
    scale = "0" + f"{whole * 1000:.1f} ms".rjust(width - 1)
    table = Table("service", "span", Column("ms", justify="right"), Column(scale, no_wrap=True), box=None)
    known = {span.id for span in spans}
    for depth, span in tree(spans):
        name = Text("  " * depth + span.name, "red" if span.error is not None else "")
        if span.error:
            name.append(f"  {span.error}", "dim red")
        if span.parent and span.parent not in known:
            name.append("  (its parent is not here)", "yellow")
        table.add_row(span.service, name, f"{(span.end - span.start) * 1000:.1f}", _bar(span, began, whole, width))
    return table


def tree(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Depth first, by start. A span that is its own ancestor stands at the top, once."""
    known = {span.id: span for span in spans}
    children: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda each: each.start):
        children.setdefault(span.parent if span.parent in known else "", []).append(span)
    seen: set[str] = set()

    def below(parent: str, depth: int) -> Iterator[tuple[int, Span]]:
        for span in children.get(parent, ()):
            if span.id not in seen:
                seen.add(span.id)
                yield depth, span
                yield from below(span.id, depth + 1)

    yield from below("", 0)
    yield from ((0, span) for span in spans if span.id not in seen)


def _bar(span: Span, began: float, whole: float, width: int) -> Text:
    left = int((span.start - began) / whole * width)
    long = int((span.end - span.start) / whole * width)
    return Text(" " * left + (_BAR * long or _SLIVER), "red" if span.error is not None else "blue")
