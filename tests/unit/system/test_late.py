"""Spans that are made when they have ended: which are kept, and that a kept one stands where it was told to."""

from __future__ import annotations

import time

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from system.kit.late import Ids, Keeping, LateSpan
from system.kit.telemetry import received_context

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class World:
    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=Keeping(ratio), id_generator=Ids())
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("t")

    def span(self, name: str, parent: Context | None = None) -> LateSpan:
        return LateSpan(self.tracer, name, SpanKind.SERVER, ratio=self.ratio, parent=parent, attributes={"a": 1})

    @property
    def kept(self) -> dict[str, trace.SpanContext]:
        return {span.name: span.context for span in self.exporter.get_finished_spans() if span.context}


def called(flag: str) -> Context:
    return received_context([(b"traceparent", f"00-{TRACE}-{CALLER}-{flag}".encode())])


def test_of_what_nobody_samples_only_a_failure_is_kept() -> None:
    world = World(0.0)
    for name in ("good", "bad"):
        span = world.span(name)
        if name == "bad":
            span.set_status(StatusCode.ERROR, "it fell over")
        span.end()
    (bad,) = world.exporter.get_finished_spans()
    assert (bad.name, bad.status.description, bad.attributes) == ("bad", "it fell over", {"a": 1})


@pytest.mark.parametrize(("flag", "kept"), [("01", True), ("00", False)])
def test_the_caller_of_a_trace_decides(flag: str, kept: bool) -> None:
    for ratio in (0.0, 1.0):
        world = World(ratio)
        world.span("x", called(flag)).end()
        assert bool(world.kept) is kept


@pytest.mark.parametrize("flag", ["01", "00"])
def test_a_kept_span_stands_where_it_was_told_to_the_next(flag: str) -> None:
    world = World(1.0)
    outer = world.span("outer", called(flag))
    inner = world.span("inner", outer.here())
    ordinary = world.tracer.start_span("ordinary", outer.here())
    for span in (inner, outer):
        span.set_status(StatusCode.ERROR)
    for span in (ordinary, inner, outer):
        span.end()
    kept = {span.name: span for span in world.exporter.get_finished_spans()}
    assert ("ordinary" in kept) is (flag == "01")
    assert all(f"{span.context.trace_id:032x}" == TRACE for span in kept.values())
    assert f"{kept['outer'].parent.span_id:016x}" == CALLER
    assert kept["inner"].parent.span_id == kept["outer"].context.span_id == outer.get_span_context().span_id
    assert kept["inner"].context.span_id == inner.get_span_context().span_id


def test_a_trace_that_begins_here_is_kept_whole_or_not_at_all() -> None:
    world = World(0.5)
    for number in range(200):
        outer = world.span(f"outer {number}")
        world.span(f"inner {number}", outer.here()).end()
        outer.end()
    kept = {name.split()[1] for name in world.kept}
    assert 50 < len(kept) < 150
    assert len(world.kept) == 2 * len(kept)


def test_it_lasted_from_its_beginning() -> None:
    world, began = World(1.0), time.time_ns()
    span = world.span("x")
    time.sleep(0.01)
    span.update_name("y")
    span.set_attributes({"b": 2})
    span.end()
    (made,) = world.exporter.get_finished_spans()
    assert (made.name, made.attributes) == ("y", {"a": 1, "b": 2})
    assert began <= made.start_time
    assert made.end_time - made.start_time >= 10_000_000
