"""`${VAR:-default}` as compose substitutes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


class BadTemplate(ValueError):
    """A `$` that is no variable, or a required one that is not set. `mend` says what to do."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.mend = mend


def substitute(template: str, variables: Mapping[str, str]) -> str:
    """`template` with its variables; one that is not set is empty text. Raises BadTemplate."""
    parts: list[str] = []
    position = 0
    while (dollar := template.find("$", position)) >= 0:
        parts.append(template[position:dollar])
        text, position = _variable(template, dollar + 1, variables)
        parts.append(text)
    parts.append(template[position:])
    return "".join(parts)


def _variable(template: str, position: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """The text for what follows a `$` at `position`, and where it ends."""
    if template.startswith("$", position):
        return "$", position + 1
    if name := _NAME.match(template, position):
        return variables.get(name[0], ""), name.end()
    if not template.startswith("{", position):
        raise _malformed(template)
    end = _closing(template, position + 1)
    return _braced(template[position + 1 : end], template, variables), end + 1


def _closing(template: str, position: int) -> int:
    """The brace that ends a `${`; inner ones may stand in its default."""
    depth = 1
    while position < len(template):
        if template.startswith("${", position):
            depth += 1
            position += 1
        elif template[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise _malformed(template)


def _braced(content: str, template: str, variables: Mapping[str, str]) -> str:
    name = _NAME.match(content)
    if not name:
        raise _malformed(template)
    rest = content[name.end() :]
    if not rest:
        return variables.get(name[0], "")
    operator = next((sign for sign in _OPERATORS if rest.startswith(sign)), None)
    if operator is None:
        raise _malformed(template)
    word = rest[len(operator) :]
    value = variables.get(name[0])
    given = value is not None and (value != "" or not operator.startswith(":"))
    return _APPLY[operator[-1]](name[0], value if given else None, word, variables)


def _default(_name: str, value: str | None, word: str, variables: Mapping[str, str]) -> str:
    return substitute(word, variables) if value is None else value


def _required(name: str, value: str | None, word: str, variables: Mapping[str, str]) -> str:
    if value is not None:
        return value
    reason = substitute(word, variables)
    raise BadTemplate(
        f"required variable {name} is not set{f': {reason}' if reason else ''}",
        f"set {name} in the environment or in .env",
    )


def _replacement(_name: str, value: str | None, word: str, variables: Mapping[str, str]) -> str:
    return "" if value is None else substitute(word, variables)


_APPLY: dict[str, Callable[[str, str | None, str, Mapping[str, str]], str]] = {
    "-": _default,
    "?": _required,
    "+": _replacement,
}


def _malformed(template: str) -> BadTemplate:
    return BadTemplate(f"{template!r} is no valid interpolation", "write ${NAME}, or $$ for a plain dollar sign")
