"""What notification-svc relies on in recommendation-svc, by gRPC: its own client code gets the recorded answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc import aio, method_handlers_generic_handler, unary_unary_rpc_method_handler

from system.kit.breaker import Unguarded
from system.notification._gen import recommendation_pb2 as messages
from system.notification.recommendations import METHOD, Recommendations

COMMITTED = Path(__file__).parent / "pacts" / "grpc" / "notification-svc-recommendation-svc.json"
USER = "pact-user"
ITEM = {"id": "item-042", "score": 0.31, "title": "Birch Hiking Boots"}
TEST = "contracts/test_notification_recommendation.py::test_an_answer_is_understood_and_was_recorded"
CALLS = [
    ("recommendations for a buyer who likes some items", "a user who likes some items", "SOURCE_MODEL", "model"),
    (
        "recommendations for a buyer of whom nothing is known",
        "a user of whom nothing is known",
        "SOURCE_POPULAR",
        "popular",
    ),
]


def answer(source: str) -> dict[str, Any]:
    return {"items": [ITEM], "source": source}


async def asked(source: str) -> tuple[dict[str, Any], Any]:
    """What the client sends, and what it makes of the answer."""
    sent: list[dict[str, Any]] = []

    async def reply(request: Any, _context: Any) -> Any:
        sent.append(MessageToDict(request, preserving_proto_field_name=True))
        return ParseDict(answer(source), messages.GetRecommendationsResponse())

    handler = unary_unary_rpc_method_handler(
        reply, messages.GetRecommendationsRequest.FromString, messages.GetRecommendationsResponse.SerializeToString
    )
    service, _, name = METHOD.strip("/").partition("/")
    server = aio.server()
    server.add_generic_rpc_handlers((method_handlers_generic_handler(service, {name: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = Recommendations(f"127.0.0.1:{port}", Unguarded("pact"), 3, 5.0)
    found = await client.ask(USER)
    await client.close()
    await server.stop(None)
    return sent[0], found


@pytest.mark.parametrize(("what", "state", "source", "meant"), CALLS)
async def test_an_answer_is_understood_and_was_recorded(what, state, source, meant) -> None:
    request, found = await asked(source)
    assert (found.source, [item.title for item in found.items]) == (meant, [ITEM["title"]])
    recorded = {each["description"]: each for each in json.loads(COMMITTED.read_text())["interactions"]}
    states = [{"name": state, "params": {"userId": USER}}]
    assert recorded[what] == {
        "comments": {"testname": TEST},
        "description": what,
        "providerStates": states,
        "request": request,
        "response": answer(source),
    }


def test_the_consumers_stub_is_the_one_that_was_released() -> None:
    contract = json.loads(COMMITTED.read_text())["grpc"]
    known = FileDescriptorProto()
    messages.DESCRIPTOR.CopyToProto(known)
    released = FileDescriptorSet.FromString(base64.b64decode(contract["released"]))
    assert contract["method"] == METHOD
    assert [message.name for message in released.file[0].message_type] == [each.name for each in known.message_type]
