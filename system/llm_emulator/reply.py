"""What the emulator answers: a pure function of the request."""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass
from typing import Any

from system.llm_emulator import tokens
from system.llm_emulator.example import example
from system.llm_emulator.protocol import Message, Request, Tool, ToolResultBlock
from system.llm_emulator.understanding import told

OPENINGS = (
    "Good question about {topic}.",
    "Let me say something about {topic}.",
    "Here is a short answer on {topic}.",
    "About {topic}, three things matter.",
)
SENTENCES = (
    "Start with what you know of {topic} and write it down.",
    "Most people overlook how {topic} changes over time.",
    "A small experiment tells more about {topic} than a long debate.",
    "Measure before you change anything, then measure {topic} again.",
    "If {topic} fails, it should fail in a way that you have seen before.",
    "Compare two options, keep the simpler one, and come back to {topic} in a week.",
    "Nobody regrets having practised {topic} on a quiet day.",
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_DULL = {"about", "from", "have", "into", "that", "their", "there", "these", "they", "this"}
_DULL |= {
    "could",
    "does",
    "like",
    "need",
    "should",
    "tell",
    "want",
    "what",
    "when",
    "where",
    "which",
    "will",
    "with",
    "would",
    "your",
}


@dataclass(frozen=True)
class Reply:
    """`pieces` are the deltas in which the only content block arrives; joined they are its text or its JSON."""

    kind: str
    pieces: tuple[str, ...]
    stop_reason: str
    stop_sequence: str | None
    input_tokens: int
    output_tokens: int
    seed: int
    tool_name: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def seed_of(request: Request) -> int:
    """The same for the same question, streamed or not, however long the answer may be."""
    question = request.model_dump(include={"model", "messages", "system", "tools", "temperature"})
    digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def compose(request: Request) -> Reply:
    seed = seed_of(request)
    draw = random.Random(seed)  # noqa: S311 - the same answer for the same question
    asked = request.messages[-1].text()
    words = _words(asked)
    tool = _tool_called(request, words)
    if tool is not None:
        return _cut(request, seed, _filled(tool.input_schema, draw, words, asked), tool)
    schema = request.schema_wanted()
    text = _filled(schema, draw, words, asked) if schema else _prose(request.messages[-1], words, draw)
    return _cut(request, seed, text, None)


def _filled(schema: dict[str, Any], draw: random.Random, words: list[str], asked: str) -> str:
    """JSON that fits `schema`: what can be told from the question, the rest by chance."""
    value = example(schema, draw, words)
    return json.dumps(value | told(schema, asked) if isinstance(value, dict) else value)


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word.lower() not in _DULL]


def _tool_called(request: Request, words: list[str]) -> Tool | None:
    """With `auto` a tool is called when the question shares a word with its name; a result is not asked for twice."""
    choice = request.tool_choice.type if request.tool_choice else "auto"
    if not request.tools or choice == "none":
        return None
    if choice == "tool":
        wanted = request.tool_choice.name if request.tool_choice else None
        return next(tool for tool in request.tools if tool.name == wanted)
    if choice == "any":
        return request.tools[0]
    if any(isinstance(block, ToolResultBlock) for block in request.messages[-1].blocks()):
        return None
    said = {word.lower() for word in words}
    return next((tool for tool in request.tools if said & set(re.split(r"[_-]", tool.name.lower()))), None)


def _prose(message: Message, words: list[str], draw: random.Random) -> str:
    topic = " ".join(words[-2:]).lower() or "that"
    results = [block for block in message.blocks() if isinstance(block, ToolResultBlock)]
    if results:
        return f"The tool says: {_plain(results[0].content)}"
    chosen = [draw.choice(OPENINGS), *draw.sample(SENTENCES, draw.randint(2, 4))]
    return " ".join(sentence.format(topic=topic) for sentence in chosen)


def _plain(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return " ".join(str(block["text"]) for block in content if block.get("type") == "text")


def _cut(request: Request, seed: int, text: str, tool: Tool | None) -> Reply:
    """Ends the answer at the first stop sequence or at `max_tokens`, whichever comes first."""
    pieces, stop_reason, stop_sequence = tokens.split(text), "tool_use" if tool else "end_turn", None
    if tool is None:
        found = _first_stop(text, request.stop_sequences)
        if found is not None:
            text, stop_sequence = text[: text.index(found)], found
            pieces, stop_reason = tokens.split(text), "stop_sequence"
    if len(pieces) > request.max_tokens:
        pieces, stop_reason, stop_sequence = pieces[: request.max_tokens], "max_tokens", None
    asked = request.model_dump(include={"messages", "system", "tools"})
    return Reply(
        kind="tool_use" if tool else "text",
        pieces=tuple(pieces),
        stop_reason=stop_reason,
        stop_sequence=stop_sequence,
        input_tokens=tokens.count_input(asked["messages"], asked["system"], asked["tools"]),
        output_tokens=max(len(pieces), 1),
        seed=seed,
        tool_name=tool.name if tool else "",
    )


def _first_stop(text: str, sequences: list[str]) -> str | None:
    return min((sequence for sequence in sequences if sequence in text), key=text.index, default=None)
