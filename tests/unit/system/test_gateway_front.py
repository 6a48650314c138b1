"""The gateway's door: which route answers, what is read of a request, and what is told of the routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field

from system.gateway import exchange, openapi, policies, routes, service
from system.gateway.exchange import Answer, Exchange, Reply
from system.gateway.front import FrontDoor, Route
from system.gateway.policies import NO_LIMIT, Policy
from system.gateway.settings import GatewaySettings
from system.kit import deadline, problem

POLICY = Policy("/echo", 2, "none", NO_LIMIT)


class Wanted(BaseModel):
    word: str
    times: int = Field(default=1, ge=1, le=3)


class Open:
    """A gateway that admits everyone, for as long as `seconds`."""

    seconds = 5.0

    async def admit(self, asked: Exchange, policy: Policy) -> None:
        deadline.clear()
        deadline.within(self.seconds)


async def echo(gateway: Any, asked: Exchange) -> Answer:
    wanted = await asked.read(Wanted)
    return exchange.reply(asked, wanted, [(b"x-below", asked.below.encode())])


async def empty(gateway: Any, asked: Exchange) -> Answer:
    return Reply(204, b"", [])


ROUTES = (
    Route("GET", "/echo", POLICY, echo, Wanted, Wanted),
    Route("POST", "/echo", POLICY, echo, Wanted, Wanted),
    Route("GET", "/echo/{path}", POLICY, echo, Wanted, Wanted),
    Route("DELETE", "/echo", POLICY, empty),
)


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.state.gateway = Open()

    @app.get("/behind")
    async def behind() -> str:
        return "the framework"

    app.add_middleware(lambda app: FrontDoor(app, ROUTES))
    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == problem.MEDIA_TYPE


async def test_an_address_or_a_body_is_read_by_the_same_model(http: httpx.AsyncClient) -> None:
    for answer in (
        await http.get("/echo", params={"word": "ä b", "times": "2"}),
        await http.post("/echo", json={"word": "ä b", "times": 2}),
    ):
        assert answer.json() == {"word": "ä b", "times": 2}
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize(("path", "below"), [("/echo/a", "/a"), ("/echo/a/b", "/a/b"), ("/echo/", "/")])
async def test_a_route_for_what_is_below_a_path_is_told_it(http: httpx.AsyncClient, path: str, below: str) -> None:
    assert (await http.get(path, params={"word": "x"})).headers["x-below"] == below


@pytest.mark.parametrize(
    ("path", "status"), [("/behind", 200), ("/echoes", 404), ("/", 404), ("/Echo", 404), ("//echo", 404)]
)
async def test_what_is_not_in_the_table_is_the_frameworks(http: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await http.get(f"http://gateway{path}")).status_code == status


async def test_another_method_is_told_which_there_are(http: httpx.AsyncClient) -> None:
    answer = await http.put("/echo")
    assert_problem(answer, 405)
    assert answer.headers["allow"] == "DELETE, GET, POST"


async def test_an_answer_without_a_body_announces_none(http: httpx.AsyncClient) -> None:
    answer = await http.delete("/echo")
    assert (answer.status_code, "content-length" in answer.headers) == (204, False)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"word": 1}', b'{"word": "x", "times": 4}'])
async def test_a_body_that_does_not_fit_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/echo", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422)
    assert answer.json()["errors"][0]["where"].startswith("body")


async def test_a_refusal_says_where_but_does_not_repeat_what_was_sent(http: httpx.AsyncClient) -> None:
    answer = await http.post("/echo", json={"word": ["hunter2"], "times": 9})
    assert [error["where"] for error in answer.json()["errors"]] == ["body.word", "body.times"]
    assert "hunter2" not in answer.text
    assert (await http.get("/echo", params={"times": "x"})).json()["errors"][1]["where"] == "query.times"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_what_is_not_said_to_be_json_is_refused(http: httpx.AsyncClient, media_type: str) -> None:
    answer = await http.post("/echo", content=b'{"word": "x"}', headers={"content-type": media_type})
    assert_problem(answer, 415)


async def served(app: FastAPI, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What is sent to a client from whom `messages` come, and then nothing."""
    waiting, sent = list(messages), []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else await asyncio.Event().wait()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-length", b"9"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/echo", "headers": headers, "app": app, "query_string": b""}
    await FrontDoor(app, ROUTES)(scope, receive, send)
    return sent


async def test_a_body_that_does_not_come_is_not_waited_for(app: FastAPI) -> None:
    app.state.gateway.seconds = 0.01
    async with asyncio.timeout(2):
        sent = await served(app, {"type": "http.request", "body": b'{"w', "more_body": True})
    assert sent[0]["status"] == 408


async def test_a_client_that_leaves_while_it_is_read_is_not_answered(app: FastAPI) -> None:
    begun = {"type": "http.request", "body": b'{"w', "more_body": True}
    assert await served(app, begun, {"type": "http.disconnect"}) == []


# What is told of the routes.


def document() -> dict[str, Any]:
    app = FastAPI()
    openapi.describe(app, routes.ROUTES)
    assert app.openapi() == app.openapi()
    return app.openapi()


def test_every_route_is_described() -> None:
    paths = document()["paths"]
    described = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert described == {(route.method, route.path) for route in routes.ROUTES}
    assert all(paths[route.path][route.method.lower()]["description"] for route in routes.ROUTES)


def test_a_description_says_what_the_policy_does() -> None:
    paths = document()["paths"]
    assert paths["/api/recommend"]["post"]["security"] == [{"token": []}]
    assert paths["/api/homepage"]["get"]["security"] == [{}, {"token": []}]
    assert "security" not in paths["/api/users/login"]["post"]
    assert policies.USERS_OPEN.token == "none"


def test_every_reference_of_the_description_leads_somewhere() -> None:
    described = document()
    schemas = described["components"]["schemas"]

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [found for value in part.values() for found in references(value)]
        return [found for each in part for found in references(each)] if isinstance(part, list) else []

    found = references(described)
    assert found
    assert all(reference.removeprefix("#/components/schemas/") in schemas for reference in found)


def test_parameters_and_bodies_are_described() -> None:
    paths = document()["paths"]
    by_address = {each["name"]: each for each in paths["/api/search"]["get"]["parameters"]}
    assert (by_address["q"]["required"], by_address["limit"]["required"]) == (True, False)
    assert by_address["limit"]["schema"]["maximum"] == 50
    body = paths["/api/chat"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/ChatSaid"}
    assert list(paths["/api/chat"]["post"]["responses"]["200"]["content"]) == ["text/event-stream"]


async def test_a_page_of_a_known_origin_may_call_what_the_door_answers() -> None:
    told = {"port": 1, "cors_origins": "https://shop.example", "user_url": "http://u", "recommendation_url": "http://r"}
    more = {"chat_url": "http://c", "cache_url": "redis://c", "store_url": "redis://s"}
    made = service.make(GatewaySettings(**told, **more))
    ask = {"access-control-request-method": "GET"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://demo") as client:
        allowed = await client.options("/api/homepage", headers={"origin": "https://shop.example", **ask})
        refused = await client.options("/api/homepage", headers={"origin": "https://else.example", **ask})
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in refused.headers


def test_what_is_made_says_each_way_in_which_it_may_end() -> None:
    """Published, refused, or not decided yet."""
    responses = document()["paths"]["/api/content"]["post"]["responses"]
    model = {"application/json": {"schema": {"$ref": "#/components/schemas/ContentTold"}}}
    assert {status: each["content"] for status, each in responses.items() if status != "default"} == {
        "200": model,
        "201": model,
        "202": model,
    }
