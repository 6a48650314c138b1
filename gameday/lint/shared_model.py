"""Several services hold the same model in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gameday.catalogue import Service
from gameday.catalogue.endpoints import speaks_of_hosts, words
from gameday.catalogue.kinds import image_name
from gameday.catalogue.model import Location
from gameday.lint import ai
from gameday.lint.rule import Look, Rule, Smell, System

_FILE = re.compile(r"[^\s=,;\"']+\.(?:onnx|gguf|ggml|safetensors|pt|pth|pkl|joblib|h5|tflite|keras)\b", re.IGNORECASE)
_OPTION = re.compile(r"--model(?:-id|-path)?(?:=|$)")
_PLACES = {"CHECKPOINT", "CHECKPOINTS", "MODEL", "MODELS", "WEIGHTS"}
_PATHS = {"DIR", "DIRECTORY", "FILE", "PATH"}


def look(system: System) -> Look:
    holders: dict[str, dict[str, Location]] = {}
    for service in system.catalogue.services.values():
        for model, where in _models(service):
            holders.setdefault(model, {}).setdefault(service.name, where)
    smells = [
        Smell(f"{model} in {' and '.join(sorted(where))}", f"{len(where)} services load it", min(where.items())[1])
        for model, where in sorted(holders.items())
        if len(where) > 1
    ]
    # Weights that are part of an image show in no file.
    silent = [name for name, known in ai.providers(system.catalogue).items() if not _told(system, name)]
    unseen = [f"which model {name} loads: it does not say so in x-gameday.loads" for name in silent]
    return Look(smells, f"models: {len(holders)}" if holders else "", unseen or ([] if holders else [_NOTHING]))


_NOTHING = "no service of the file says which model it loads (x-gameday.loads)"


def _told(system: System, name: str) -> bool:
    return any(True for _ in _models(system.catalogue.services[name]))


def _models(service: Service) -> Iterator[tuple[str, Location]]:
    """What `service` loads as it says itself, as its command or environment names it, or as it is mounted."""
    here = service.location
    yield from ((model, here) for model in service.loads)
    yield from ((model, here) for model in _of_command(service))
    for key, value in service.environment.items():
        spoken = set(words(key))
        named = bool(spoken & _PLACES) and words(key)[-1] in _PATHS
        # A host may end in .pt as well.
        found = [value] if named and value else [] if speaks_of_hosts(key) else _FILE.findall(value)
        yield from ((model, service.written.get(key, here)) for model in found)
    for volume in service.volumes:
        if volume.source and not _PLACES.isdisjoint(words(volume.source.rpartition("/")[2])):
            yield volume.source, here


def _of_command(service: Service) -> Iterator[str]:
    """`--model NAME` of a server of models, and a file of weights wherever it stands."""
    told = [*(service.entrypoint or ()), *(service.command or ())]
    for index, word in enumerate(told):
        if _FILE.fullmatch(word):
            yield word
        elif image_name(service) in ai.MODEL_IMAGES and (option := _OPTION.match(word)):
            yield word[option.end() :] if "=" in word else next(iter(told[index + 1 :]), "")


RULE = Rule(
    "shared-model",
    "Each model is loaded by one service",
    "the same weights take memory several times, and a new version is out in one service and not in the other",
    "let one service load it and the others ask that one",
    look,
)
