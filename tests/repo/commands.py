"""The commands of the program and the examples in their help, for the tests that execute or check them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import typer

from gameday import cli

ROOT = Path(__file__).parents[2]


def _registered() -> typer.Typer:
    app = typer.Typer()
    for command in cli.COMMANDS:
        importlib.import_module(f"gameday.cli.{command}").register(app)
    return app


def leaves(command: click.Command | None = None, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """`experiment run` and its command, for every command that is not a mere group."""
    command = command or typer.main.get_command(_registered())
    children = getattr(command, "commands", {})
    for child, inner in children.items():
        yield from leaves(inner, f"{name} {child}".strip())
    if not children:
        yield name, command


def example(command: click.Command) -> str | None:
    """`gameday edges --json`, from the line `Example: $ gameday edges --json` of a help text."""
    found = re.search(r"Example: \$ ([^\n]+)", f"{command.epilog or ''}\n{command.help or ''}")
    return found[1].strip() if found else None


EXAMPLES = {name: example(command) for name, command in leaves()}


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def typed(page: Path) -> list[str]:
    """Every command that a reader of the page is told to type."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
