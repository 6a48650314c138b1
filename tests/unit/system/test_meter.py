"""An exchange with a language model is a span of the request that needs it, and fails where the model does."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from system.kit import telemetry
from system.kit.llm import Usage
from system.kit.meter import Exchange, Meter

EDGE = "test-svc->llm-emulator"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "TRACER", provider.get_tracer("t"))
    return exporter


def exchange() -> Exchange:
    return Meter(EDGE, "test-model", 1.0, 5.0).exchange()


def told(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    assert (span.name, (span.attributes or {})["edge"]) == ("chat test-model", EDGE)
    return span


def test_an_answer_is_a_span_with_its_tokens(exporter: InMemorySpanExporter) -> None:
    exchange().ended(Usage(10, 5))
    span = told(exporter)
    assert (span.attributes or {})["gen_ai.usage.output_tokens"] == 5
    assert span.status.status_code is StatusCode.UNSET


def test_a_model_that_is_gone_is_a_span_that_failed(exporter: InMemorySpanExporter) -> None:
    exchange().failed("connection", "connection refused")
    span = told(exporter)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "connection refused")
