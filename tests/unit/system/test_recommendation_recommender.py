"""What is recommended to whom, and the trace that tells how; no store, no server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from told import Told

from system.kit import deadline, telemetry
from system.kit.client import UnavailableError
from system.kit.decisions import RECOMMENDED
from system.recommendation import train
from system.recommendation.features import Asked, Known
from system.recommendation.recommender import Recommender
from system.recommendation.serving import Serving


class Memory:
    """Features without a store; `gone` makes it behave as if there were none any more."""

    def __init__(self) -> None:
        self.likes: dict[str, list[str]] = {}
        self.answers: dict[Asked, str] = {}
        self.gone = False

    async def known(self, asked: Asked) -> Known:
        if self.gone:
            raise UnavailableError("recommendation-svc->cache", "connection")
        return Known(list(self.likes.get(asked.user, [])), self.answers.get(asked))

    async def keep(self, asked: Asked, answer: str) -> None:
        self.answers[asked] = answer

    async def like(self, user: str, items: Sequence[str]) -> None:
        self.likes[user] = [*items, *self.likes.get(user, [])]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    train.train(directory)
    return directory


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def recommender(models: Path, memory: Memory, told: Told) -> Iterator[Recommender]:
    deadline.clear()
    recommender = Recommender(Serving(models), memory, told, max_batch=64, max_wait=0)  # type: ignore[arg-type]
    yield recommender
    recommender.close()


@pytest.fixture
def runs(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries each run of the model answered."""
    model, sizes = recommender._serving.model, []
    predict = model.predict
    monkeypatch.setattr(model, "predict", lambda queries: sizes.append(len(queries)) or predict(queries))
    return sizes


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "TRACER", provider.get_tracer("test"))
    return exporter


async def test_a_trace_tells_features_and_prediction(recommender: Recommender, spans: InMemorySpanExporter) -> None:
    answer = await recommender.recommend("user-0001", 3)
    told: dict[str, ReadableSpan] = {span.name: span for span in spans.get_finished_spans()}
    top = told["get-recommendations"]
    assert top.attributes == {"user.id": "user-0001", "model.version": answer.model_version}
    for name in ("fetch-features", "model-predict"):
        assert told[name].parent == top.get_span_context()
    assert told["model-predict"].attributes == {"model.version": answer.model_version}
    assert told["fetch-features"].end_time <= told["model-predict"].start_time


async def test_what_the_model_decided_is_told_once(recommender: Recommender, told: Told) -> None:
    answer = await recommender.recommend("user-0001", 3)
    assert await recommender.recommend("user-0001", 3) == answer
    (decision,) = told.all
    assert (decision["type"], decision["user"], decision["model"]) == (RECOMMENDED, "user-0001", answer.model_version)
    assert decision["output"] == {"items": [item.id for item in answer.items], "source": "model"}
    assert decision["confidence"] == pytest.approx(sum(item.score for item in answer.items) / 3)
    assert 0 < decision["confidence"] < 1


async def test_what_is_popular_is_told_where_it_is_for_somebody(recommender: Recommender, told: Told) -> None:
    await recommender.recommend("anonymous", 3)
    assert told.all == []
    telemetry.USER_ID.set("u-1")
    await recommender.recommend("u-1", 3)
    telemetry.USER_ID.set("")
    (decision,) = told.all
    assert (decision["user"], decision["model"], decision["confidence"]) == ("u-1", "popular", None)


async def test_a_user_of_whom_nothing_is_known_gets_what_is_popular(recommender: Recommender) -> None:
    answer = await recommender.recommend("nobody", 3)
    assert (answer.source, answer.items) == ("popular", recommender.popular(3).items)


async def test_what_a_user_likes_counts_at_once(recommender: Recommender) -> None:
    assert await recommender.like("new", ["item-001"]) == []
    answer = await recommender.recommend("new", 3)
    assert answer.source == "model"
    assert "item-001" not in {item.id for item in answer.items}


async def test_likes_add_to_what_the_model_knows(recommender: Recommender, memory: Memory) -> None:
    before = [item.id for item in (await recommender.recommend("user-0001", 10)).items]
    memory.likes["user-0001"] = before[:1]
    after = [item.id for item in (await recommender.recommend("user-0001", 10)).items]
    assert before[0] not in after
    assert set(after) & set(before), "the histories that came with the model are forgotten"


async def test_an_answer_is_given_again_without_the_model(recommender: Recommender, runs: list[int]) -> None:
    first = await recommender.recommend("user-0001", 3)
    assert await recommender.recommend("user-0001", 3) == first
    await recommender.recommend("user-0001", 4)
    await recommender.recommend("user-0002", 3)
    assert runs == [1, 1, 1]


async def test_an_answer_from_before_the_latest_like_is_not_given_again(
    recommender: Recommender, memory: Memory, runs: list[int]
) -> None:
    before = await recommender.recommend("user-0001", 3)
    kept = dict(memory.answers)
    await recommender.like("user-0001", [before.items[0].id])
    after = await recommender.recommend("user-0001", 3)
    assert before.items[0] not in after.items
    # One that was made before, and written after.
    memory.answers = kept
    assert await recommender.recommend("user-0001", 3) == after


async def test_an_answer_of_another_model_is_not_given(recommender: Recommender, memory: Memory) -> None:
    first = await recommender.recommend("user-0001", 3)
    memory.answers = {asked._replace(model="other"): answer for asked, answer in memory.answers.items()}
    assert await recommender.recommend("user-0001", 3) == first
    assert {asked.model for asked in memory.answers} == {"other", first.model_version}


@pytest.mark.parametrize("spoiled", ["", "{", "[]", '{"likes": [], "items": [{}]}', "null"])
async def test_what_is_no_answer_is_not_given(recommender: Recommender, memory: Memory, spoiled: str) -> None:
    first = await recommender.recommend("user-0001", 3)
    memory.answers = dict.fromkeys(memory.answers, spoiled)
    assert await recommender.recommend("user-0001", 3) == first


async def test_questions_at_once_share_a_run(recommender: Recommender, runs: list[int]) -> None:
    await asyncio.gather(*(recommender.recommend(f"user-{number:04}", 3) for number in range(1, 9)))
    assert runs == [8]


async def test_an_item_that_there_is_not_is_not_remembered(recommender: Recommender, memory: Memory) -> None:
    assert await recommender.like("new", ["item-001", "item-999"]) == ["item-999"]
    assert memory.likes == {}


async def test_likes_of_items_that_a_newer_model_does_not_know_are_left_out(
    recommender: Recommender, memory: Memory
) -> None:
    memory.likes["new"] = ["item-gone"]
    assert (await recommender.recommend("new", 3)).source == "popular"


async def test_without_features_the_model_answers_from_what_it_knows(recommender: Recommender, memory: Memory) -> None:
    memory.gone = True
    assert (await recommender.recommend("user-0001", 3)).source == "model"
    assert (await recommender.recommend("nobody", 3)).source == "popular"


async def test_it_does_not_work_beyond_the_callers_deadline(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = recommender._serving.model
    monkeypatch.setattr(model, "predict", lambda queries: time.sleep(0.2) or [[] for _ in queries])
    deadline.within(0.02)
    with pytest.raises(TimeoutError):
        await recommender.recommend("user-0001", 3)
