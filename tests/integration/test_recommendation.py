"""recommendation-svc on a real Redis, which dies, stops, and comes back."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from servers import Server, Service, ServiceFactory, eventually

from system.recommendation import registry, train


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    train.train(directory)
    return directory


@pytest.fixture(scope="module")
def service(services: ServiceFactory, redis_server: Server, models: Path) -> Service:
    cache = f"redis://127.0.0.1:{redis_server.port}/1"
    return services("system.recommendation", CACHE_URL=cache, MODEL_DIR=str(models), MODEL_WATCH_SECONDS="0.05")


@pytest.fixture
def stopped_redis(redis_server: Server) -> Iterator[None]:
    redis_server.send(signal.SIGSTOP)
    yield
    redis_server.send(signal.SIGCONT)


def recommend(service: Service, user: str, limit: int = 5) -> dict[str, object]:
    answer = service.http.post("/recommend", json={"userId": user, "limit": limit})
    assert answer.status_code == 200, answer.text
    body: dict[str, object] = answer.json()
    return body


def test_a_known_user_is_answered_by_the_model(service: Service, models: Path) -> None:
    answer = recommend(service, "user-0001")
    assert answer["source"] == "model"
    assert answer["model_version"] == registry.current(models)
    assert len(answer["items"]) == 5
    assert set(answer["items"][0]) == {"id", "score", "title"}


def test_an_unknown_user_is_answered_with_what_is_popular(service: Service) -> None:
    answer = recommend(service, "nobody")
    assert answer["source"] == "popular"
    assert answer["items"] == service.http.get("/popular", params={"limit": 5}).json()["items"]
    assert answer["model_version"]


def test_the_next_answer_shows_what_a_user_likes(service: Service) -> None:
    before = recommend(service, "fresh")
    liked = {"userId": "fresh", "itemIds": ["item-001", "item-002"]}
    assert service.http.post("/preferences", json=liked).status_code == 204
    after = recommend(service, "fresh")
    assert after["source"] == "model"
    assert after["items"] != before["items"]
    assert not {"item-001", "item-002"} & {item["id"] for item in after["items"]}


def test_an_answer_is_kept_for_a_short_time_and_given_again(service: Service, redis_server: Server) -> None:
    first = recommend(service, "user-0007")
    labels = {"route": "/recommend", "result": "hit"}
    before = service.metric("cache_requests_total", **labels) or 0
    assert recommend(service, "user-0007") == first
    assert service.metric("cache_requests_total", **labels) == before + 1
    with redis.Redis(port=redis_server.port, db=1) as store:
        assert 0 < store.pttl("answers:user-0007") <= 30_000


def test_a_log_line_tells_of_whom_by_which_model_and_from_where(service: Service, models: Path) -> None:
    for _ in range(2):
        recommend(service, "user-0008")
    assert [line["cacheHit"] for line in service.told_of_requests("user-0008", 2)] == [False, True]
    assert {line["modelVersion"] for line in service.told("user-0008")} == {registry.current(models)}


def test_likes_are_kept_for_a_month_and_are_not_endless(service: Service, redis_server: Server) -> None:
    for _ in range(3):
        items = [f"item-{number:03}" for number in range(1, 41)]
        assert service.http.post("/preferences", json={"userId": "keen", "itemIds": items}).status_code == 204
    with redis.Redis(port=redis_server.port, db=1) as store:
        assert store.llen("likes:keen") == 50
        assert 0 < store.ttl("likes:keen") <= 30 * 24 * 3600


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/recommend", {}),
        ("/recommend", {"userId": ""}),
        ("/recommend", {"userId": "u" * 129}),
        ("/recommend", {"userId": "u", "limit": 0}),
        ("/recommend", {"userId": "u", "limit": 101}),
        ("/recommend", {"userId": "u", "limit": "many"}),
        ("/recommend", {"userId": "u", "colour": "red"}),
        ("/recommend", [1]),
        ("/preferences", {"userId": "u", "itemIds": []}),
        ("/preferences", {"userId": "u", "itemIds": ["item-001", "item-999"]}),
    ],
)
def test_bad_input_is_a_problem_document(service: Service, path: str, body: object) -> None:
    answer = service.http.post(path, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_a_body_that_is_no_json_is_a_problem_document(service: Service) -> None:
    answer = service.http.post("/recommend", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_an_inference_is_measured_under_its_model_and_service(service: Service) -> None:
    labels = {"model": "ease", "service": "recommendation-svc"}
    before = service.metric("ai_inference_duration_seconds_count", **labels) or 0
    recommend(service, "user-0002")
    assert service.metric("ai_inference_duration_seconds_count", **labels) == before + 1


async def test_callers_at_once_are_answered_as_one_alone(service: Service) -> None:
    users = [f"user-{number:04}" for number in range(1, 101)]
    async with httpx.AsyncClient(base_url=service.http.base_url, timeout=10, trust_env=False) as client:
        answers = await asyncio.gather(*(client.post("/recommend", json={"userId": user}) for user in users))
    assert [answer.json() for answer in answers[:5]] == [recommend(service, user, 10) for user in users[:5]]
    assert {answer.status_code for answer in answers} == {200}


def test_without_permission_there_are_no_provider_states(service: Service) -> None:
    assert service.http.post("/_pact/states", json={"state": "a user who likes some items"}).status_code == 404


def test_a_redis_that_does_not_answer_costs_freshness_and_little_time(service: Service, stopped_redis: None) -> None:
    assert recommend(service, "user-0001")["source"] == "model"
    for _ in range(5):
        recommend(service, "user-0001")
    started = time.monotonic()
    assert recommend(service, "user-0001")["source"] == "model"
    assert time.monotonic() - started < 0.1, "the breaker did not open"
    refused = service.http.post("/preferences", json={"userId": "u", "itemIds": ["item-001"]})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


def test_it_finds_a_redis_that_is_back(service: Service) -> None:
    def kept() -> bool:
        liked = {"userId": "returning", "itemIds": ["item-003"]}
        return service.http.post("/preferences", json=liked).status_code == 204

    eventually(kept, 5, "the breaker did not close")
    assert recommend(service, "returning")["source"] == "model"


def test_it_starts_and_answers_without_any_redis(services: ServiceFactory, models: Path) -> None:
    service = services("system.recommendation", CACHE_URL="redis://127.0.0.1:1/0", MODEL_DIR=str(models))
    assert recommend(service, "user-0001")["source"] == "model"
    assert service.metric("circuit_breaker_state", edge="recommendation-svc->cache") is not None


def test_a_corrupt_model_is_refused_while_the_old_one_serves_on(service: Service, models: Path) -> None:
    graph = models / registry.current(models) / "model.onnx"
    good = graph.read_bytes()
    graph.write_bytes(b"spoiled")
    try:
        eventually(lambda: bool(service.metric("model_loads_total", result="refused")), 5, "it was not refused")
        assert recommend(service, "user-0001")["source"] == "model"
    finally:
        graph.write_bytes(good)
    eventually(lambda: (service.metric("model_loads_total", result="loaded") or 0) > 1, 5, "it was not taken back")


def test_with_a_corrupt_model_it_does_not_start_and_says_why(
    services: ServiceFactory, models: Path, tmp_path: Path
) -> None:
    shutil.copytree(models, tmp_path / "models")
    (tmp_path / "models" / registry.current(models) / "model.onnx").write_bytes(b"spoiled")
    service = services(
        "system.recommendation", wait=False, CACHE_URL="redis://127.0.0.1:1/0", MODEL_DIR=str(tmp_path / "models")
    )
    assert service.process
    assert service.process.wait(20) == 1
    assert "model.onnx: its sha256 is not" in service.log.read_text()
    service.process = None


def test_without_a_model_the_first_start_trains_one(services: ServiceFactory, tmp_path: Path) -> None:
    service = services("system.recommendation", CACHE_URL="redis://127.0.0.1:1/0", MODEL_DIR=str(tmp_path / "new"))
    assert recommend(service, "user-0001")["model_version"] == registry.current(tmp_path / "new")


def test_sigterm_ends_it_within_its_drain(services: ServiceFactory, models: Path) -> None:
    service = services("system.recommendation", CACHE_URL="redis://127.0.0.1:1/0", MODEL_DIR=str(models))
    assert service.stop() == 0
    service.process = None


def test_the_trainer_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "system.recommendation.train", "--registry", str(tmp_path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]).stdout
    assert "ratio" in said
    assert registry.current(tmp_path)
