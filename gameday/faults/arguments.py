"""The arguments of faults: strict models, and their errors as problems with the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gameday.errors import Problem


class Arguments(BaseModel):
    """Takes no argument. Times are milliseconds, as in Toxiproxy."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ToxicArguments(Arguments):
    """`toxicity` is the share of connections that the fault acts on."""

    stream: Literal["upstream", "downstream"] = "downstream"
    toxicity: float = Field(default=1.0, gt=0, le=1)

    def attributes(self) -> dict[str, Any]:
        """What of it is the toxic's own."""
        return self.model_dump(exclude={"stream", "toxicity"})


def problems(fault: str, model: type[Arguments], given: Mapping[str, Any]) -> Sequence[Problem]:
    """All that is wrong with `given`; nothing where the model takes it."""
    try:
        model.model_validate(dict(given))
    except ValidationError as error:
        return [_problem(fault, model, dict(each)) for each in error.errors()]
    return []


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'? known: x, y` for the mend of a wrong name."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return (f"did you mean {close[0]!r}? " if close else "") + f"known: {', '.join(names) or 'none'}"


def _problem(fault: str, model: type[Arguments], error: dict[str, Any]) -> Problem:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        message, mend = f"{fault} takes no argument {key!r}", nearest(key, model.model_fields)
    elif error["type"] == "missing":
        message, mend = f"{fault} needs the argument {key!r}", f"set it; see docs/faults/{fault}.md"
    else:
        message, mend = f"{fault}: {key}: {error['msg']}", f"see docs/faults/{fault}.md for units and limits"
    value = None if error["type"] == "missing" else error["input"]
    return Problem(message, mend, key=f"arguments.{key}", value=value)
