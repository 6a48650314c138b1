"""The chassis, served in memory."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from system.kit import app, deadline, problem, settings, telemetry

TOLD = settings.Settings(port=1, body_limit_bytes=100)


def router() -> APIRouter:
    routes = APIRouter()

    @routes.get("/items/{item}")
    async def item(item: int) -> dict[str, object]:
        span = f"{trace.get_current_span().get_span_context().trace_id:032x}"
        return {"item": item, "left": deadline.remaining(60), "id": telemetry.CORRELATION_ID.get(), "trace": span}

    @routes.get("/boom")
    async def boom() -> None:
        raise RuntimeError("a secret")

    @routes.get("/teapot")
    async def teapot() -> None:
        raise problem.ProblemError(418, "no coffee", headers={"retry-after": "3"}, extra={"pot": "tea"})

    @routes.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    return routes


async def ready(service: FastAPI) -> None:
    if error := getattr(service.state, "error", None):
        raise error


async def hangs(service: FastAPI) -> None:
    if getattr(service.state, "hangs", False):
        await asyncio.Event().wait()


@pytest.fixture
def service() -> FastAPI:
    return app.create("demo", TOLD, routers=[router()], ready={"part": ready, "other": hangs})


@pytest.fixture
async def http(service: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://demo") as client:
        yield client


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == problem.MEDIA_TYPE
    assert answer.json()["correlationId"] == answer.headers["x-correlation-id"]


async def test_correlation_id_trace_and_deadline_are_taken_over(http: httpx.AsyncClient) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    sent = {"x-correlation-id": "c-1", "x-timeout-ms": "1500", "traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    answer = await http.get("/items/3", headers=sent)
    body = answer.json()
    assert (body["item"], body["id"], body["trace"]) == (3, "c-1", trace_id)
    assert 1.0 < body["left"] <= 1.5
    assert answer.headers["x-correlation-id"] == "c-1"


async def test_one_request_leaves_nothing_to_the_next(http: httpx.AsyncClient) -> None:
    await http.get("/items/3", headers={"x-correlation-id": "c-1", "x-timeout-ms": "1500"})
    body = (await http.get("/items/3")).json()
    assert body["left"] == 60
    assert body["id"] not in {"", "c-1"}


async def test_one_server_span_for_a_request(http: httpx.AsyncClient) -> None:
    class Spans(SpanProcessor):
        def __init__(self) -> None:
            self.ended: list[ReadableSpan] = []

        def on_end(self, span: ReadableSpan) -> None:
            self.ended.append(span)

    spans = Spans()
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(spans)
    await http.get("/items/3")
    await http.get("/boom")
    assert [(span.name, span.kind) for span in spans.ended] == [
        ("GET /items/{item}", trace.SpanKind.SERVER),
        ("GET /boom", trace.SpanKind.SERVER),
    ]
    assert [span.status.is_ok for span in spans.ended] == [True, False]


@pytest.mark.parametrize("nonsense", ["", "soon", "-5", "1e3", "٣"])
async def test_a_deadline_that_is_none_is_ignored(http: httpx.AsyncClient, nonsense: str) -> None:
    answer = await http.get("/items/3", headers={"x-timeout-ms": nonsense.encode()})
    assert answer.json()["left"] == 60


async def test_outermost_service_takes_no_deadline() -> None:
    service = app.create("demo", TOLD, routers=[router()], outermost=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://demo") as client:
        assert (await client.get("/items/3", headers={"x-timeout-ms": "1"})).json()["left"] == 60


async def test_an_unexpected_error_is_a_problem_that_tells_nothing(http: httpx.AsyncClient) -> None:
    answer = await http.get("/boom")
    assert_problem(answer, 500)
    assert "secret" not in answer.text


async def test_problems_carry_their_headers_and_members(http: httpx.AsyncClient) -> None:
    answer = await http.get("/teapot")
    assert_problem(answer, 418)
    assert (answer.json()["detail"], answer.json()["pot"], answer.headers["retry-after"]) == ("no coffee", "tea", "3")


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/items/x", 422)])
async def test_errors_of_the_framework_are_problems(http: httpx.AsyncClient, path: str, status: int) -> None:
    assert_problem(await http.get(path), status)


async def test_a_wrong_method_is_a_problem(http: httpx.AsyncClient) -> None:
    assert_problem(await http.delete("/boom"), 405)


async def test_body_limit(http: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 50

    assert (await http.post("/length", content=b"x" * 100)).json() == 100
    assert_problem(await http.post("/length", content=b"x" * 101), 413)
    assert_problem(await http.post("/length", content=pieces()), 413)


async def test_header_limit(http: httpx.AsyncClient) -> None:
    assert (await http.get("/items/3", headers={"x-long": "y" * 30_000})).status_code == 200
    assert_problem(await http.get("/items/3", headers={"x-long": "y" * 33_000}), 431)


async def test_ready_says_what_is_not(
    http: httpx.AsyncClient, service: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await http.get("/healthz")).json() == {"status": "alive"}
    assert (await http.get("/readyz")).json() == {"status": "ready", "checks": {"part": "ok", "other": "ok"}}
    monkeypatch.setattr(app, "READY_SECONDS", 0.05)
    service.state.error, service.state.hangs = ValueError("broken"), True
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, problem.MEDIA_TYPE)
    assert answer.json()["checks"] == {"part": "ValueError: broken", "other": "no answer within 0.05 s"}


async def test_metrics_name_routes_not_paths(http: httpx.AsyncClient) -> None:
    for path in ("/items/4", "/items/5", "/nowhere/6"):
        await http.get(path)
    text = (await http.get("/metrics")).text
    assert 'http_server_request_duration_seconds_count{method="GET",route="/items/{item}",status="200"}' in text
    assert "/items/4" not in text
    assert "nowhere" not in text
    assert 'http_server_request_duration_seconds_count{method="POST",route="/length",status="500"} 0.0' in text


async def test_log_line_of_a_request(http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.setup("demo")
    await http.get("/items/3", headers={"x-correlation-id": "c-9"})
    await http.get("/healthz")
    await asyncio.sleep(0)  # lines of one turn of the loop are written together after it
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "c-9" in line or "healthz" in line]
    expected = {"event": "request", "service": "demo", "correlationId": "c-9", "route": "/items/{item}", "status": 200}
    assert line.items() >= expected.items()
    assert len(line["trace_id"]) == 32
    assert line["latencyMs"] >= 0


class Told(settings.Settings):
    secret: str
    seconds: float = 1.0


def test_settings_from_environment_and_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of a file\n")
    monkeypatch.setenv("PORT", "3000")
    monkeypatch.setenv("SECRET", "of the environment")
    assert settings.load(Told).secret == "of the environment"
    monkeypatch.setenv("SECRET_FILE", str(tmp_path / "secret"))
    told = settings.load(Told)
    assert (told.secret, told.host, told.port) == ("of a file", "127.0.0.1", 3000)


def test_settings_tell_all_that_is_wrong_but_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDS", "hunter2")
    with pytest.raises(SystemExit) as error:
        settings.load(Told)
    message = str(error.value)
    assert all(name in message for name in ("PORT", "SECRET", "SECONDS"))
    assert "hunter2" not in message


def test_settings_name_a_secret_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "3000")
    monkeypatch.setenv("SECRET_FILE", "/nowhere")
    with pytest.raises(SystemExit, match="/nowhere"):
        settings.load(Told)


@pytest.mark.parametrize("harmful", [None, "", "a b", "x" * 65, 'a"', "é", "a\n"])
def test_harmful_correlation_ids_are_replaced(harmful: str | None) -> None:
    assert telemetry.correlation_id("a-B.1:_") == "a-B.1:_"
    made = telemetry.correlation_id(harmful)
    assert made != harmful
    assert len(made) == 32


async def test_a_deadline_only_gets_shorter() -> None:
    deadline.within(10)
    deadline.within(60)
    assert deadline.remaining(60) <= 10
    assert deadline.remaining(5) == 5
    deadline.within(0)
    assert deadline.remaining(60) == 0


def test_a_collector_that_is_gone_does_not_hold_up_the_end() -> None:
    """Left alone, the exporter would try again for longer than this process is given."""
    told = "from system.kit import telemetry as t\nt.setup('demo')\nt.TRACER.start_span('x').end()\nt.flush()\n"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        collector = f"http://127.0.0.1:{unused.getsockname()[1]}"
        subprocess.run(
            [sys.executable, "-c", told],
            env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector},
            check=True,
            timeout=telemetry.FLUSH_SECONDS + 3,
        )


def test_lines_of_a_loop_that_ended_are_written_by_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.setup("demo")
    for number in (1, 2):
        loop = asyncio.new_event_loop()
        loop.call_soon(lambda number=number: telemetry.told("request", number=number))  # type: ignore[misc]
        if number == 2:
            loop.call_soon(lambda loop=loop: loop.call_soon(loop.stop))  # type: ignore[misc]
        else:
            loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["number"] for line in lines if line["event"] == "request"] == [1, 2]
