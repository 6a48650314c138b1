"""One service does all that has to do with AI."""

from __future__ import annotations

from collections.abc import Mapping

from gameday.lint import ai
from gameday.lint.rule import Look, Rule, Smell, System

# Of fewer dependencies in all, most of them in one service is no pattern.
_FEWEST = 4


def look(system: System) -> Look:
    held = _held(system)
    whole = sum(map(len, held.values()))
    if not whole:
        return Look(unseen=["no service of the file is known to load or to ask a model"])
    smells = [
        Smell(name, f"{len(models)} of {whole} dependencies on models: {', '.join(models)}", system.place(name))
        for name, models in held.items()
        if len(models) > system.limits.dependencies or (whole >= _FEWEST and len(models) > whole / 2)
    ]
    return Look(smells, f"dependencies on models: {whole}, in services: {sum(map(bool, held.values()))}")


def _held(system: System) -> Mapping[str, list[str]]:
    """By service the models that it loads or asks. The service that users reach first only passes requests on."""
    edges = list(ai.asked(system.catalogue))
    held: dict[str, set[str]] = {}
    for name, service in system.catalogue.services.items():
        held[name] = {*service.loads, *(vendor for vendor, _ in ai.foreign(system.catalogue, service))}
        if name != system.catalogue.entry:
            held[name] |= {edge.provider for edge in edges if edge.consumer == name}
    return {name: sorted(found) for name, found in held.items()}


RULE = Rule(
    "giant-ai-service",
    "What has to do with AI is spread over services by what it does",
    "models that share a service share its memory, its releases and its faults: one that leaks takes all others along",
    "give what grows, fails or is released by itself a service of its own",
    look,
)
