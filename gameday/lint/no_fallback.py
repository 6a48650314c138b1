"""A service depends on a model, and nothing says what users get without it."""

from __future__ import annotations

from collections import Counter

from gameday.lint import ai
from gameday.lint.rule import Look, Rule, Smell, System


def look(system: System) -> Look:
    models = ai.providers(system.catalogue)
    asked = list(ai.asked(system.catalogue))
    smells = {
        edge.name: Smell(
            edge.name,
            f"no on-loss; {edge.provider} is a model: {models[edge.provider].why}",
            system.place(edge.name),
        )
        for edge in asked
        if edge.on_loss is None
    }
    said = Counter(edge.on_loss.value for edge in asked if edge.on_loss)
    seen = f"edges to models: {', '.join(f'{count} {loss}' for loss, count in said.items()) or len(asked)}"
    return Look(list(smells.values()), seen if asked else "", list(_outside(system)) or _nothing(models))


def _nothing(models: object) -> list[str]:
    return (
        [] if models else ["no service of the file is known to be a model: say which ones load one in x-gameday.loads"]
    )


def _outside(system: System) -> list[str]:
    return [
        f"what users get without {vendor}, which {name} calls outside of the file ({key})"
        for name, service in system.catalogue.services.items()
        for vendor, key in ai.foreign(system.catalogue, service)
    ]


RULE = Rule(
    "no-fallback",
    "Somebody decided what users get without each model",
    "models are slow, limited and often away: without an answer of its own the whole route goes down with them",
    "write on-loss of the edge under x-gameday, and an experiment that proves it",
    look,
)
