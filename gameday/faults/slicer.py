"""What goes over an edge arrives in small pieces, as Toxiproxy's `slicer`."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from gameday.faults.arguments import ToxicArguments
from gameday.faults.edge import EdgeFault


class SlicerArguments(ToxicArguments):
    """Pieces of `average_size` +- `size_variation` bytes, `delay` microseconds apart."""

    average_size: int = Field(gt=0)
    size_variation: int = Field(default=0, ge=0)
    delay: float = Field(default=0, ge=0, le=60_000_000)

    @field_validator("size_variation")
    @classmethod
    def _below_the_average(cls, variation: int, info: ValidationInfo) -> int:
        if variation >= info.data.get("average_size", variation + 1):
            raise ValueError("must be below average_size")
        return variation


class Slicer(EdgeFault):
    name = "slicer"
    takes = SlicerArguments
