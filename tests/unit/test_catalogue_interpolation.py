"""`${...}` as compose substitutes it."""

from __future__ import annotations

import pytest

from gameday.catalogue.interpolation import BadTemplate, substitute

VARIABLES = {"A": "one", "EMPTY": "", "B": "two"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("$A-${B}", "one-two"),
        ("$$A $${A}", "$A ${A}"),
        ("$NOPE|${NOPE}|", "||"),
        ("${NOPE:-d} ${NOPE-d}", "d d"),
        ("${EMPTY:-d} [${EMPTY-d}]", "d []"),
        ("${A:-d} ${A-d}", "one one"),
        ("${A:+x} [${EMPTY:+x}] ${EMPTY+x} [${NOPE+x}]", "x [] x []"),
        ("${A:?said} ${EMPTY?said}|", "one |"),
        ("${NOPE:-${ALSO:-$B}}/x", "two/x"),
        ("${NOPE:-http://a:80/{id}", "http://a:80/{id"),
        ("${NOPE:-a-b:c?d+e}", "a-b:c?d+e"),
        ("${A_:-}${A}", "one"),
    ],
)
def test_substitution(template: str, text: str) -> None:
    assert substitute(template, VARIABLES) == text


@pytest.mark.parametrize("template", ["${", "${A", "${}", "${1}", "$", "a $ b", "$1", "${A b}", "${A!x}", "${N:-${A}"])
def test_what_is_no_template_is_explained(template: str) -> None:
    with pytest.raises(BadTemplate, match="no valid interpolation") as caught:
        substitute(template, VARIABLES)
    assert "$$" in caught.value.mend


@pytest.mark.parametrize("template", ["${NOPE?}", "${NOPE:?}", "${EMPTY:?}"])
def test_a_required_variable(template: str) -> None:
    with pytest.raises(BadTemplate, match="is not set") as caught:
        substitute(template, VARIABLES)
    assert caught.value.mend.startswith("set ")


def test_a_required_variable_says_why() -> None:
    with pytest.raises(BadTemplate, match="NOPE is not set: ask two"):
        substitute("${NOPE:?ask $B}", VARIABLES)


def test_a_default_that_is_not_used_is_not_read() -> None:
    assert substitute("${A:-${NOPE:?never}}", VARIABLES) == "one"
