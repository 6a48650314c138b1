"""What a person did wrong, and how to mend it.

A reader of input collects every `Problem` it finds and raises one `InputError`
with all of them, before anything is started or broken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input.

    `line` and `column` count from 1. `key` is the dotted path inside the file
    (`services.web.ports`), `value` what stood there, `mend` the next step in
    the imperative.
    """

    message: str
    mend: str
    file: Path | None = None
    line: int | None = None
    column: int | None = None
    key: str | None = None
    value: Any = None


class InputError(Exception):
    """The user's input is wrong and nothing was started: exit code 2."""

    def __init__(self, problems: Iterable[Problem] | Problem) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            raise ValueError("an InputError needs at least one problem")
        super().__init__("; ".join(problem.message for problem in self.problems))


class GamedayError(Exception):
    """Something outside the user's input failed while gameday worked: exit code 3."""


def render(problem: Problem) -> str:
    """`file:line: message`, the source line with a caret, key, value and mend."""
    where = _relative(problem.file)
    if where and problem.line is not None:
        where += f":{problem.line}"
    lines = [f"{where}: {problem.message}" if where else problem.message]
    lines += _excerpt(problem)
    if problem.key is not None:
        value = "" if problem.value is None else f" = {problem.value!r}"
        lines.append(f"  key:  {problem.key}{value}")
    elif problem.value is not None:
        lines.append(f"  value: {problem.value!r}")
    lines.append(f"  mend: {problem.mend}")
    return "\n".join(lines)


def _relative(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def _excerpt(problem: Problem) -> list[str]:
    if problem.file is None or problem.line is None:
        return []
    try:
        source = problem.file.read_text(errors="replace").splitlines()[problem.line - 1]
    except (OSError, IndexError):
        return []
    column = problem.column or len(source) - len(source.lstrip()) + 1
    return [f"  {problem.line:>4} | {source}", f"       | {' ' * (column - 1)}^"]
