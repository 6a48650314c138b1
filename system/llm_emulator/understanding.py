"""What the emulator tells from a text rather than by chance, where a tool asks for it by these names.

`harmful`, `categories`, `confidence` and `reason` are told by words alone, and surely only by some; a `summary` is
how the text begins. A model understands more. What is tested with this is what becomes of an answer, not its truth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# What says beyond doubt that a text is about harm, and what may also be said in a kitchen.
HARMFUL: Mapping[str, frozenset[str]] = {
    "violence": frozenset({"murder", "massacre", "bomb", "bombs", "assassinate"}),
    "self-harm": frozenset({"suicide"}),
    "hate": frozenset({"subhuman", "vermin"}),
    "sexual": frozenset({"porn", "pornographic"}),
    "illegal": frozenset({"cocaine", "heroin", "counterfeit", "launder"}),
    "fraud": frozenset({"phishing", "ponzi"}),
}
DOUBTFUL: Mapping[str, frozenset[str]] = {
    "violence": frozenset({"kill", "weapon", "weapons", "poison"}),
    "illegal": frozenset({"smuggle", "stolen"}),
    "fraud": frozenset({"lottery", "winner"}),
}
SURE, UNSURE, HARMLESS = 0.97, 0.55, 0.93
SUMMARY_SENTENCES, SUMMARY_CHARACTERS = 2, 400
_WORD = re.compile(r"[a-z]+")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Impression:
    """What the words of a text say of it."""

    categories: tuple[str, ...]
    words: tuple[str, ...]
    confidence: float


def impression(text: str) -> Impression:
    said = set(_WORD.findall(text.lower()))
    for lexicon, confidence in ((HARMFUL, SURE), (DOUBTFUL, UNSURE)):
        found = {category: words & said for category, words in lexicon.items() if words & said}
        if found:
            return Impression(tuple(found), tuple(sorted(set[str]().union(*found.values()))), confidence)
    return Impression((), (), HARMLESS)


def told(schema: Schema, text: str) -> dict[str, Any]:
    """The properties of `schema` that can be told from `text`."""
    found = impression(text)
    asked = ((name, wanted) for name, wanted in schema.get("properties", {}).items() if name in _TELLERS)
    return {
        name: _TELLERS[name].tell(wanted, text, found)
        for name, wanted in asked
        if wanted.get("type") == _TELLERS[name].type
    }


def summary(text: str) -> str:
    """How a text begins; of JSON, how its longest text does."""
    sentences = _SENTENCE.findall(_longest(text))[:SUMMARY_SENTENCES]
    return " ".join(sentence.strip() for sentence in sentences)[:SUMMARY_CHARACTERS].strip()


def _longest(text: str) -> str:
    try:
        given = json.loads(text)
    except ValueError:
        return text
    texts = [value for value in given.values() if isinstance(value, str)] if isinstance(given, dict) else []
    return max(texts, key=len, default=text)


def _categories(schema: Schema, _text: str, found: Impression) -> list[str]:
    known = schema.get("items", {}).get("enum")
    return [category for category in found.categories if known is None or category in known]


def _reason(_schema: Schema, _text: str, found: Impression) -> str:
    return f"It says {', '.join(found.words)}." if found.words else "Nothing in it is harmful."


@dataclass(frozen=True)
class _Teller:
    type: str
    tell: Callable[[Schema, str, Impression], Any]


_TELLERS: Mapping[str, _Teller] = {
    "harmful": _Teller("boolean", lambda _schema, _text, found: bool(found.words)),
    "categories": _Teller("array", _categories),
    "confidence": _Teller("number", lambda _schema, _text, found: found.confidence),
    "reason": _Teller("string", _reason),
    "summary": _Teller("string", lambda _schema, text, _found: summary(text)),
}
