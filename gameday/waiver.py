"""Waivers: until a day that is still to come, somebody answers for what is red. It is told, and is never green."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from gameday.verdict import Finding, Verdict

# The fact of a result that holds what was waived.
WAIVED = "waived"


class Waiver(BaseModel):
    """Until the day `until`, `owner` answers for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    until: date

    def holds(self, today: date) -> bool:
        return today <= self.until

    def excuses(self, finding: Finding, today: date) -> bool:
        return finding.verdict is Verdict.REFUTED and self.holds(today)

    def told(self, what: str) -> str:
        return f"{what}; until {self.until} {self.owner} says: {self.reason}"

    def useless(self, finding: Finding, today: date) -> Finding:
        """A waiver that is of no use is told where it would have been."""
        if not self.holds(today):
            why = f"its waiver ended on {self.until} (by {self.owner})"
        elif finding.verdict is Verdict.CONFIRMED:
            why = f"its waiver is not needed any more: remove it (by {self.owner})"
        else:
            why = "a waiver does not stand for what nobody knows"
        return finding.model_copy(update={"detail": "; ".join(filter(None, (finding.detail, why)))})
