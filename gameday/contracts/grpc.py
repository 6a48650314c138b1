"""gRPC contracts: a .proto that still says what was released, and recorded calls that a running provider answers so.

Pact's plugin for gRPC is not to be had everywhere, so this is a check of our own, on files beside the pacts.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from google.protobuf.json_format import MessageToDict, ParseDict

from gameday.errors import GamedayError, InputError, Problem

COMPILE_SECONDS = 30.0
REPEATED = FieldDescriptor.LABEL_REPEATED


def released(contract: Mapping[str, Any]) -> FileDescriptorSet:
    return FileDescriptorSet.FromString(base64.b64decode(contract["released"]))


def compiled(proto: Path) -> FileDescriptorSet:
    """What the file says now. Raises GamedayError."""
    with tempfile.TemporaryDirectory(prefix="gameday-proto-") as directory:
        out = Path(directory) / "set"
        argv = ["-m", "grpc_tools.protoc", "-I", str(proto.parent), f"--descriptor_set_out={out}", proto.name]
        ended = subprocess.run(
            [sys.executable, *argv], capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
        )
        if ended.returncode:
            raise GamedayError(f"{proto} cannot be compiled: {(ended.stdout + ended.stderr).strip()[-500:]}")
        return FileDescriptorSet.FromString(out.read_bytes())


def differences(before: FileDescriptorSet, now: FileDescriptorSet) -> list[str]:
    """What was released and is not so any more. What is new breaks nobody."""
    return [*_messages(before, now), *_enums(before, now), *_services(before, now)]


def _messages(before: FileDescriptorSet, now: FileDescriptorSet) -> Iterator[str]:
    current = dict(_all_messages(now))
    for name, message in _all_messages(before):
        if name not in current:
            yield f"message {name} is gone"
            continue
        fields = {field.number: field for field in current[name].field}
        for field in message.field:
            yield from _field(name, field, fields.get(field.number))


def _field(message: str, old: FieldDescriptorProto, new: FieldDescriptorProto | None) -> Iterator[str]:
    where = f"{message}.{old.name}"
    if new is None:
        yield f"{where}: number {old.number} is gone"
        return
    if new.name != old.name:
        yield f"{where}: number {old.number} is now called {new.name}"
    if (new.type, new.type_name) != (old.type, old.type_name):
        yield f"{where}: another type"
    if (new.label == REPEATED) != (old.label == REPEATED):
        yield f"{where}: one became many, or many one"


def _enums(before: FileDescriptorSet, now: FileDescriptorSet) -> Iterator[str]:
    current = {name: {value.name: value.number for value in enum.value} for name, enum in _all_enums(now)}
    for name, enum in _all_enums(before):
        for value in enum.value:
            if current.get(name, {}).get(value.name) != value.number:
                yield f"{name}.{value.name}: number {value.number} is gone"


def _services(before: FileDescriptorSet, now: FileDescriptorSet) -> Iterator[str]:
    current = dict(_methods(now))
    for name, shape in _methods(before):
        if current.get(name) != shape:
            yield f"rpc {name} is gone or takes and gives something else"


def _methods(files: FileDescriptorSet) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for file in files.file:
        service: ServiceDescriptorProto
        for service in file.service:
            for method in service.method:
                shape = method.input_type, method.output_type, method.client_streaming, method.server_streaming
                yield f"{file.package}.{service.name}/{method.name}", shape


def _all_messages(files: FileDescriptorSet) -> Iterator[tuple[str, DescriptorProto]]:
    for file in files.file:
        for message in file.message_type:
            yield from _nested(f"{file.package}.{message.name}", message)


def _nested(name: str, message: DescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    yield name, message
    for inner in message.nested_type:
        yield from _nested(f"{name}.{inner.name}", inner)


def _all_enums(files: FileDescriptorSet) -> Iterator[tuple[str, EnumDescriptorProto]]:
    for file in files.file:
        for enum in file.enum_type:
            yield f"{file.package}.{enum.name}", enum
    for name, message in _all_messages(files):
        for enum in message.enum_type:
            yield f"{name}.{enum.name}", enum


def library() -> Any:
    """Raises InputError where it is not installed."""
    try:
        import grpc
    except ImportError as error:
        raise InputError(Problem("grpcio is not installed", mend="pip install 'gameday[contracts]'")) from error
    return grpc


class Caller:
    """Calls one method at `address` with messages as they were released."""

    def __init__(self, files: FileDescriptorSet, method: str, address: str) -> None:
        grpc = library()
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        service, _, name = method.strip("/").partition("/")
        found = pool.FindServiceByName(service).methods_by_name[name]
        self._request = message_factory.GetMessageClass(found.input_type)
        answer = message_factory.GetMessageClass(found.output_type)
        self._channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._call = self._channel.unary_unary(
            method, request_serializer=self._request.SerializeToString, response_deserializer=answer.FromString
        )

    def answer(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Raises GamedayError for a call that fails."""
        grpc = library()
        try:
            found = self._call(ParseDict(dict(request), self._request()), timeout=timeout, wait_for_ready=True)
        except grpc.RpcError as error:
            raise GamedayError(f"the call failed: {error.code().name} {error.details()}") from error
        told: dict[str, Any] = MessageToDict(
            found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return told

    def close(self) -> None:
        self._channel.close()


def enter(url: str, states: Sequence[Mapping[str, Any]], action: str, timeout: float) -> None:
    """Has the provider enter or leave each state. Raises GamedayError."""
    for state in states:
        body = {"state": state["name"], "params": state.get("params", {}), "action": action}
        try:
            httpx.post(url, json=body, timeout=timeout, trust_env=False).raise_for_status()
        except httpx.HTTPError as error:
            raise GamedayError(f"the state {state['name']!r} cannot be entered: {error}") from error


def lacking(expected: Any, found: Any, where: str = "$") -> list[str]:
    """Where `found` has not the shape of `expected`: every member, the same kind of value, at least one of a list.

    Strings in capitals are values of enums and have to be equal.
    """
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{where}: expected a message, got {json.dumps(found)}"]
        return [each for key, value in expected.items() for each in lacking(value, found.get(key), f"{where}.{key}")]
    if isinstance(expected, list):
        if not isinstance(found, list) or not found:
            return [f"{where}: expected at least one, got {json.dumps(found)}"]
        return [each for index, one in enumerate(found) for each in lacking(expected[0], one, f"{where}[{index}]")]
    if isinstance(expected, str) and expected.isupper() and expected != found:
        return [f"{where}: expected {expected}, got {json.dumps(found)}"]
    alike = isinstance(found, int | float) if isinstance(expected, int | float) else isinstance(found, type(expected))
    return [] if alike else [f"{where}: expected something like {json.dumps(expected)}, got {json.dumps(found)}"]
