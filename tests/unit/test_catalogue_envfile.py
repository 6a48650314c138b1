"""`.env` and `env_file`."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.catalogue import envfile
from gameday.errors import InputError


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / ".env"
    file.write_text(text)
    return file


def test_values_quotes_comments_and_one_another(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "\ufeffPLAIN=a b  # comment\n"
        "HASH=a#b\n"
        "export EXPORTED=yes\n"
        'DOUBLE="a # b\\n$PLAIN"\n'
        "SINGLE='$PLAIN # ${'\n"
        "CHAIN=${PLAIN}/${OUTSIDE:-none}\n"
        "EMPTY=\n"
        "# COMMENT=1\n",
    )
    assert envfile.read(file, {"OUTSIDE": "out"}) == {
        "PLAIN": "a b",
        "HASH": "a#b",
        "EXPORTED": "yes",
        "DOUBLE": "a # b\na b",
        "SINGLE": "$PLAIN # ${",
        "CHAIN": "a b/out",
        "EMPTY": "",
    }


def test_a_bare_key_is_passed_through_or_left_out(tmp_path: Path) -> None:
    assert envfile.read(written(tmp_path, "GIVEN\nABSENT\n"), {"GIVEN": "1"}) == {"GIVEN": "1"}


def test_raw_values_stand_as_they_are(tmp_path: Path) -> None:
    file = written(tmp_path, "# no\nA=\"x\" $B # c\nB='y'\nBARE\n")
    assert envfile.read(file, {}, raw=True) == {"A": '"x" $B # c', "B": "'y'"}


def test_every_bad_line_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, "A=1\n=nothing\nB=${A\nC='open\n")
    with pytest.raises(InputError) as caught:
        envfile.read(file, {})
    assert [problem.line for problem in caught.value.problems] == [2, 3, 4]


@pytest.mark.parametrize("content", [b"A=\xff\xfe", b"A=\x00"])
def test_what_is_no_text(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / ".env"
    file.write_bytes(content)
    with pytest.raises(InputError):
        envfile.read(file, {})


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        envfile.read(tmp_path / "none.env", {})
