"""recommendation-svc by gRPC: the same answers as by REST, one by one and as a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from ports import free_port
from servers import Server, Service, ServiceFactory

from system.recommendation import registry, train
from system.recommendation._gen import recommendation_pb2 as messages
from system.recommendation.rpc import GET, SERVICE, STREAM

Request = messages.GetRecommendationsRequest
Response = messages.GetRecommendationsResponse


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    train.train(directory)
    return directory


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def service(services: ServiceFactory, redis_server: Server, models: Path, port: int) -> Service:
    cache = f"redis://127.0.0.1:{redis_server.port}/1"
    return services("system.recommendation", CACHE_URL=cache, MODEL_DIR=str(models), GRPC_PORT=str(port))


@pytest.fixture
async def channel(service: Service, port: int) -> AsyncIterator[aio.Channel]:
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


def get(channel: aio.Channel) -> Any:
    return channel.unary_unary(f"/{SERVICE}/{GET}", Request.SerializeToString, Response.FromString)


def stream(channel: aio.Channel) -> Any:
    return channel.stream_stream(f"/{SERVICE}/{STREAM}", Request.SerializeToString, Response.FromString)


async def test_both_ways_give_the_same_answer(channel: aio.Channel, service: Service, models: Path) -> None:
    answer = await get(channel)(Request(user_id="user-0001", limit=5))
    rest = service.http.post("/recommend", json={"userId": "user-0001", "limit": 5}).json()
    assert [{"id": item.id, "score": item.score, "title": item.title} for item in answer.items] == rest["items"]
    assert (answer.model_version, answer.source) == (registry.current(models), Response.SOURCE_MODEL)


async def test_an_unknown_user_gets_ten_popular_items(channel: aio.Channel) -> None:
    answer = await get(channel)(Request(user_id="nobody"))
    assert (answer.source, len(answer.items)) == (Response.SOURCE_POPULAR, 10)


@pytest.mark.parametrize("request_", [Request(), Request(user_id="u", limit=0), Request(user_id="u", limit=101)])
async def test_bad_input_is_an_invalid_argument(channel: aio.Channel, request_: Request) -> None:
    with pytest.raises(aio.AioRpcError) as raised:
        await get(channel)(request_)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details()


async def test_a_stream_answers_each_in_order(channel: aio.Channel) -> None:
    users = [f"user-{number:04}" for number in range(1, 201)]

    async def ask() -> AsyncIterator[Request]:
        for user in users:
            yield Request(user_id=user, limit=1)

    answers = [answer.user_id async for answer in stream(channel)(ask())]
    assert answers == users


async def test_a_stream_answers_before_the_next_question(channel: aio.Channel) -> None:
    call = stream(channel)()
    for user in ("user-0001", "nobody", "user-0002"):
        await call.write(Request(user_id=user))
        async with asyncio.timeout(5):
            assert (await call.read()).user_id == user
    await call.done_writing()
    assert await call.read() is aio.EOF


async def test_bad_input_ends_a_stream_with_its_reason(channel: aio.Channel) -> None:
    call = stream(channel)(iter([Request(user_id="user-0001"), Request()]))
    with pytest.raises(aio.AioRpcError) as raised:
        async for answer in call:
            assert answer.user_id == "user-0001"
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_caller_who_leaves_a_stream_leaves_nothing_behind(channel: aio.Channel, service: Service) -> None:
    call = stream(channel)()
    await call.write(Request(user_id="user-0001"))
    await call.read()
    call.cancel()
    assert service.http.get("/readyz").status_code == 200
    assert (await get(channel)(Request(user_id="user-0001"))).items


async def test_calls_are_measured(channel: aio.Channel, service: Service) -> None:
    await get(channel)(Request(user_id="user-0001"))
    labels = {"rpc_service": SERVICE, "rpc_method": GET, "rpc_response_status_code": "OK"}
    assert (service.metric("rpc_server_call_duration_seconds_count", **labels) or 0) > 0


async def test_an_unknown_method_is_unimplemented(channel: aio.Channel) -> None:
    with pytest.raises(aio.AioRpcError) as raised:
        await channel.unary_unary(f"/{SERVICE}/GetHoroscope")(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
