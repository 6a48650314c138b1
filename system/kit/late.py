"""Spans that are made when they have ended, and only if they are kept: sampled, or failed.

Making a span costs more than most of what a request passes through. Of the requests that nobody traces only those that
fail are worth one. Whether a trace is sampled is decided where it begins, and told along with it (W3C Trace Context).
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes, AttributeValue

SAMPLED, UNSAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
# The span that is being made: it has long had its place in the trace.
_MADE: ContextVar[SpanContext | None] = ContextVar("made", default=None)


class Ids(RandomIdGenerator):
    def generate_span_id(self) -> int:
        made = _MADE.get()
        return made.span_id if made else super().generate_span_id()

    def generate_trace_id(self) -> int:
        made = _MADE.get()
        return made.trace_id if made else super().generate_trace_id()


class Keeping(Sampler):
    """Of traces that begin here the share `ratio`, of others what their caller decided; what is made late, always."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self._others = ParentBased(TraceIdRatioBased(ratio))

    def should_sample(  # noqa: PLR0917  the SDK's own
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if _MADE.get():
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, trace_state)
        return self._others.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"Keeping({self.ratio:g})"


class LateSpan(NonRecordingSpan):
    """`here` is the context in which it is current; `parent` None stands for the present one."""

    def __init__(
        self,
        tracer: trace.Tracer,
        name: str,
        kind: SpanKind,
        *,
        ratio: float,
        parent: Context | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._around = parent
        self._parent = trace.get_current_span(parent)
        self._attributes = dict(attributes or {})
        self._failure: str | None = None
        self._started = time.time_ns()
        super().__init__(_within(self._parent.get_span_context(), ratio))

    def here(self) -> Context:
        return trace.set_span_in_context(self, self._around)

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self._attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self._attributes.update(attributes)

    def update_name(self, name: str) -> None:
        self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        if code is StatusCode.ERROR:
            self._failure = (status.description if isinstance(status, Status) else description) or ""

    def end(self, end_time: int | None = None) -> None:
        context = self.get_span_context()
        if self._failure is None and not context.trace_flags.sampled:
            return
        parent = trace.set_span_in_context(self._parent, Context())
        with _making(context):
            span = self._tracer.start_span(
                self._name, parent, self._kind, attributes=self._attributes, start_time=self._started
            )
        if self._failure is not None:
            span.set_status(Status(StatusCode.ERROR, self._failure))
        span.end(end_time)


def _within(parent: SpanContext, ratio: float) -> SpanContext:
    span_id = random.getrandbits(64) or 1
    if parent.is_valid:
        return SpanContext(parent.trace_id, span_id, False, parent.trace_flags, parent.trace_state)
    sampled = ratio >= 1 or random.random() < ratio  # noqa: S311  nobody gains from guessing it
    return SpanContext(random.getrandbits(128) or 1, span_id, False, SAMPLED if sampled else UNSAMPLED)


@contextmanager
def _making(context: SpanContext) -> Iterator[None]:
    before = _MADE.set(context)
    try:
        yield
    finally:
        _MADE.reset(before)
