"""YAML as Docker reads it, with the place of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gameday.catalogue import document
from gameday.catalogue.document import Map, Mark, locate
from gameday.errors import InputError


def read(tmp_path: Path, text: str) -> Map:
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    return document.read(file)[0]


def problems(tmp_path: Path, text: str) -> list[tuple[int | None, str]]:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    return [(problem.line, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", None),
        ("12", 12),
        ("1_000", 1000),
        ("022", 18),
        ("0o22", 18),
        ("0x1F", 31),
        ("089", "089"),
        ("1.50", 1.5),
        ("22:22", "22:22"),
        ("3.8.1", "3.8.1"),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("2020-01-01", "2020-01-01"),
        ('"\\ud83d\\ude00"', "😀"),
    ],
)
def test_scalars(tmp_path: Path, written: str, value: Any) -> None:
    assert read(tmp_path, f"key: {written}\n")["key"] == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (5, "5"), (1.0, "1"), (1.5, "1.5"), ("a", "a"), (float("inf"), "inf")],
)
def test_scalars_as_text(value: Any, text: str) -> None:
    assert document.text_of(value) == text


def test_merge_keys_own_keys_win_then_the_first_parent(tmp_path: Path) -> None:
    tree = read(tmp_path, "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]\n")
    assert tree["c"] == {"x": 1, "y": 1, "z": 3}
    assert tree["c"].marks["x"].line == 1
    assert tree["c"].marks["z"].line == 4


def test_places(tmp_path: Path) -> None:
    tree = read(tmp_path, "services:\n  web:\n    ports:\n      - 80\n      - 81\n")
    start = Mark(Path("x"), 1, 1)
    assert locate(tree, ["services", "web", "ports", 1], start).line == 5
    assert locate(tree, ["services", "web", "absent", "deeper"], start).line == 2
    assert locate(tree, ["nothing"], start) is start


def test_every_duplicate_is_told_with_both_lines(tmp_path: Path) -> None:
    text = "a: 1\nb: {c: 1, c: 2}\na: 2\n"
    assert problems(tmp_path, text) == [
        (2, "'c' stands twice, first in line 2"),
        (3, "'a' stands twice, first in line 1"),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1\nb: 2\n", 2),
        ("a: *nowhere\n", 1),
        ("- a\n- b\n", 1),
        ("just text", 1),
        ("\n\na: &a [*a]\n", 3),
        ("a: {<<: 3}\n", 1),
        ("? [a, b]\n: c\n", 1),
        ('a: "\\0"\n', 1),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    assert [place for place, _ in problems(tmp_path, text)] == [line]


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    [(_, message)] = problems(tmp_path, "\n".join(lines))
    assert "values" in message


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: \x01"])
def test_what_is_no_text_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "compose.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError):
        document.read(file)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            document.read(path)


def test_empty_documents_say_nothing(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("# only a comment\n---\na: 1\n---\n")
    assert document.read(file) == [{"a": 1}]


def test_an_anchor_may_be_set_again(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &x 1\nb: *x\nc: &x 2\nd: *x\n") == {"a": 1, "b": 1, "c": 2, "d": 2}
