"""What is refused without asking a model: words and phrases, found also where somebody tried to hide them.

A text is read as a person would read it. Signs that nobody sees are left out, letters that look alike are one
letter, doubled ones are one, digits stand for letters, and letters that were set apart are put together again.
Whole words are compared, never parts of words: `Scunthorpe` is a town.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from system.moderation.models import Category

# Letters of other alphabets that look like Latin ones.
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u043a\u043c\u0442\u0432\u043d\u04bb\u0501\u0433"
    "\u03b1\u03b2\u03b5\u03b7\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131\u0142\u00f8\u0111",
    "aeopcyxisjkmtbhhdr" + "abenikvoptuxilod",
)
# What signs may stand for: letters, 1 as either of two, or nothing but an end of a word.
_SIGNS = tuple(
    str.maketrans("034579@$\u20ac\u00a31!|", letters) for letters in ("oeastgaseliii", "oeastgasellll", " " * 13)
)
_PHRASE = re.compile(r"[a-z]+( [a-z]+)*")
_APART = re.compile(r"[^a-z]+")
_WITHIN = re.compile(r"[^a-z\s]+")
_SPACED = re.compile(r"(?<=(?<![a-z])[a-z])\s+(?=[a-z](?![a-z]))")
_REPEATED, _ONCE = re.compile(r"(.)\1+"), r"\1"


class BlockListError(Exception):
    """Every problem of a block list, each with its file and line."""


@dataclass(frozen=True)
class Hit:
    category: Category
    phrase: str


class BlockList:
    def __init__(self, phrases: Mapping[str, Category]) -> None:
        self._hits = {
            form: Hit(category, phrase) for phrase, category in phrases.items() for form in _forms(phrase)
        }  # fmt: skip

    def find(self, text: str) -> Hit | None:
        """The first phrase of the list that stands in `text`."""
        readings = set(_readings(text))
        return next((hit for form, hit in self._hits.items() if any(form in reading for reading in readings)), None)


def load(path: Path) -> BlockList:
    """Lines `category: phrase`; empty ones and those that begin with # say nothing. Raises BlockListError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BlockListError(f"{path}: cannot be read: {error}") from error
    phrases: dict[str, Category] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        category, _, phrase = (part.strip() for part in line.partition(":"))
        known = next((each for each in get_args(Category) if each == category), None)
        if known is None:
            problems.append(f"{path}:{number}: {category!r} is no category; use {', '.join(get_args(Category))}")
        elif not _PHRASE.fullmatch(phrase):
            problems.append(f"{path}:{number}: {phrase!r} is no phrase; write small letters a to z, and spaces")
        else:
            phrases[phrase] = known
    if problems:
        raise BlockListError("\n".join(problems))
    return BlockList(phrases)


def _forms(phrase: str) -> Iterator[str]:
    """A phrase as it stands in a reading: its words one after the other, and all of them as one word."""
    yield _reading(phrase)
    yield _reading(phrase.replace(" ", ""))


def _readings(text: str) -> Iterator[str]:
    letters = _letters(text)
    for signs in _SIGNS:
        read = letters.translate(signs)
        for words in (_APART.sub(" ", read), _WITHIN.sub("", read)):
            yield _reading(words)
            # `b o m b` is one word.
            yield _reading(_SPACED.sub("", words))


def _letters(text: str) -> str:
    """Small, without accents and what nobody sees, letters that look alike made one."""
    plain = text.casefold()
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain).casefold()
        plain = "".join(sign for sign in plain if unicodedata.category(sign) not in ("Mn", "Me", "Cf"))
    return plain.translate(_ALIKE)


def _reading(words: str) -> str:
    """Each letter once where it is repeated, with one space around each word."""
    return f" {' '.join(_REPEATED.sub(_ONCE, words).split())} "
