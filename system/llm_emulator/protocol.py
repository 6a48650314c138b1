"""What the Messages API accepts, and the words with which it refuses the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from system.llm_emulator.errors import ApiError

MAX_BODY = 32 * 1024 * 1024
Text = Annotated[str, Field(min_length=1)]


class _Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


class TextBlock(_Loose):
    type: Literal["text"]
    text: Text


class ToolUseBlock(_Loose):
    type: Literal["tool_use"]
    id: Text
    name: Text
    input: dict[str, Any]


class ToolResultBlock(_Loose):
    type: Literal["tool_result"]
    tool_use_id: Text
    content: str | list[dict[str, Any]] = ""
    is_error: bool = False


class OtherBlock(_Loose):
    type: Literal["image", "document", "thinking", "redacted_thinking", "search_result"]


Block = Annotated[TextBlock | ToolUseBlock | ToolResultBlock | OtherBlock, Field(discriminator="type")]


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    content: Text | Annotated[list[Block], Field(min_length=1)]

    def blocks(self) -> list[Any]:
        return [TextBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content

    def text(self) -> str:
        return "\n".join(block.text for block in self.blocks() if isinstance(block, TextBlock))


class Tool(_Loose):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    description: str = ""
    input_schema: dict[str, Any] = Field(default_factory=lambda: {"type": "object"})


class ToolChoice(_Loose):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None


class Prompt(BaseModel):
    """What tokens are counted of. Unknown keys are refused, as the provider does."""

    model_config = ConfigDict(extra="forbid")

    model: Text
    messages: Annotated[list[Message], Field(min_length=1)]
    system: str | list[TextBlock] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    cache_control: dict[str, Any] | None = None
    thread: dict[str, Any] | None = None

    def schema_wanted(self) -> dict[str, Any] | None:
        """The JSON Schema that the answer has to follow, where one was asked for."""
        format_ = (self.output_config or {}).get("format") or {}
        return format_.get("schema") if format_.get("type") == "json_schema" else None


class Request(Prompt):
    max_tokens: Annotated[int, Field(ge=1)]
    stream: bool = False
    stop_sequences: list[Text] = Field(default_factory=list)
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    metadata: dict[str, Any] | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: Any = None
    diagnostics: Any = None
    inference_geo: str | None = None
    speed: Literal["standard", "fast"] | None = None


Parsed = TypeVar("Parsed", bound=Prompt)


def parse(kind: type[Parsed], body: bytes, *, beta: bool = False) -> Parsed:
    """`body` as a `kind`. Raises ApiError with the provider's wording.

    A caller of a `beta` may send more keys than are emulated; they change nothing.
    """
    if len(body) > MAX_BODY:
        raise ApiError("request_too_large", "Request exceeds the maximum size")
    try:
        request = kind.model_validate_json(body, extra="ignore" if beta else None)
    except ValidationError as error:
        raise ApiError("invalid_request_error", _wording(error)) from None
    _check_model(request.model)
    _check_thread(request)
    _check_tool_choice(request)
    _check_tool_results(request.messages)
    return request


def check_headers(headers: Mapping[str, str]) -> str:
    """The caller's key. Any key will do, none will not."""
    bearer = headers.get("authorization", "")
    key = headers.get("x-api-key") or bearer.removeprefix("Bearer ").strip()
    if not key:
        raise ApiError("authentication_error", "x-api-key header is required")
    if not headers.get("anthropic-version"):
        raise ApiError("invalid_request_error", "anthropic-version: header is required")
    return key


def _wording(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"The request body is not valid JSON: {first['ctx']['error']}"
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _check_model(name: str) -> None:
    if not name.startswith("claude-"):
        raise ApiError("not_found_error", f"model: {name}")


def _check_thread(request: Prompt) -> None:
    """Conversations are not held here. The SDK knows this answer, and sends them whole from then on."""
    if request.thread is not None:
        details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
        raise ApiError("invalid_request_error", "thread: this request cannot be threaded", details=details)


def _check_tool_choice(request: Prompt) -> None:
    choice = request.tool_choice
    if choice is None:
        return
    names = [tool.name for tool in request.tools or []]
    if not names and choice.type != "none":
        raise ApiError("invalid_request_error", "tool_choice: may only be specified while providing tools")
    if choice.type == "tool" and choice.name not in names:
        raise ApiError("invalid_request_error", f"Tool '{choice.name}' not found in provided tools")


def _check_tool_results(messages: list[Message]) -> None:
    for number, message in enumerate(messages[:-1]):
        used = {block.id for block in message.blocks() if isinstance(block, ToolUseBlock)}
        following = messages[number + 1].blocks()
        missing = used - {block.tool_use_id for block in following if isinstance(block, ToolResultBlock)}
        if missing:
            raise ApiError(
                "invalid_request_error",
                f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(sorted(missing))}.",
            )
