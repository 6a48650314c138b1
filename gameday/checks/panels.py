"""Did a panel move as its reader is told it does? Read from what its own queries drew over the run.

A query that looks back over some time shows one event in several samples: it has to move for as many more. The
control begins only where no sample looks back before it, and the second half of it must not move against the first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gameday import movement
from gameday.checks.view import Drawn, Span, View
from gameday.durations import TimeScale
from gameday.expectations import Panel
from gameday.journal import History
from gameday.movement import Direction, Movement, Values
from gameday.verdict import Finding, Verdict

# Of a window in scrapes: what a rate looks back over, and as many as both halves of a control need.
ENOUGH = 4 + 2 * movement.SAMPLES


def check(history: History, expectation: Panel, scale: TimeScale) -> Finding:  # noqa: ARG001 - a panel knows no limit
    view = View(history)
    drawn = of(view, expectation.board, expectation.panel)
    doubt = _doubt(view, expectation, drawn)
    found = {} if doubt else moves(view, drawn, expectation.moves, expectation.series)
    verdict = Verdict.INCONCLUSIVE if doubt else Verdict.CONFIRMED if found else Verdict.REFUTED
    return Finding(
        check="panels",
        subject=f"{expectation.board}: {expectation.panel}",
        verdict=verdict,
        expected=f"{expectation.series or 'a series'} moves {expectation.moves}",
        observed=told(found) or ("it did not move" if drawn else "nothing was drawn"),
        detail=doubt,
        n=sum(len(movement.numbers(values)) for each in drawn for _, values in chosen(each, expectation.series)),
    )


def spoken(view: View, expectation: Panel, window: str) -> bool:  # noqa: ARG001 - a panel is drawn at the end
    """Whether there were scrapes enough: what a panel shows is asked at the end of the run."""
    span = {"control": view.window("control"), "fault": view.fault}.get(window)
    if span is None:
        return True
    return len({int((wall - span.start) // view.scrape_interval) for wall in view.scrapes if wall in span}) >= ENOUGH


def unrest(view: View, expectation: Panel, span: Span) -> str:  # noqa: ARG001
    """A panel that is restless without a fault is found at the end, against itself."""
    return ""


def of(view: View, board: str, panel: str) -> Sequence[Drawn]:
    return [each for each in view.drawn if (each.board, each.panel) == (board, panel)]


def chosen(drawn: Drawn, series: str | None) -> Iterator[tuple[str, Values]]:
    """The series called `series`, else all."""
    return ((name, values) for name, values in drawn.series if series in (None, name))


def control(view: View, drawn: Drawn, values: Values) -> Values:
    """The samples of which none looks back before the control window, up to the fault."""
    window = view.window("control")
    if window is None:
        return ()
    return drawn.within(values, Span(window.start + drawn.reach, _before(view, window)))


def fault(view: View, drawn: Drawn, values: Values) -> Values:
    """From the fault in force until it is undone, and as long after as a sample looks back."""
    if view.in_force is None or view.undone is None:
        return ()
    return drawn.within(values, Span(view.in_force, view.undone + drawn.reach))


def least(drawn: Drawn) -> int:
    """Consecutive samples that fewer than SAMPLES scrapes could not have moved."""
    return movement.SAMPLES + max(0, math.ceil(drawn.reach / drawn.step) - 1)


def moves(view: View, drawn: Sequence[Drawn], direction: Direction, series: str | None = None) -> dict[str, Movement]:
    """By series, the movements under the fault."""
    found = {}
    for each in drawn:
        for name, values in chosen(each, series):
            shift = movement.moved(control(view, each, values), fault(view, each, values), direction, least(each))
            if shift:
                found[name] = shift
    return found


def told(found: dict[str, Movement], most: int = 3) -> str:
    more = f", and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(f"{name} from {shift}" for name, shift in list(found.items())[:most]) + more


def _doubt(view: View, expectation: Panel, drawn: Sequence[Drawn]) -> str:
    if view.window("control") is None or view.fault is None or view.recovery is None:
        return "a window is missing: control, fault and recovery are needed"
    if errors := [each.error for each in drawn if each.error]:
        return errors[0]
    pairs = [(each, values) for each in drawn for _, values in chosen(each, expectation.series)]
    if not pairs:
        return "no such series" if any(each.series for each in drawn) else "the panel was empty"
    return _scarce(view, pairs) or _restless(view, pairs, expectation.moves)


def _scarce(view: View, pairs: Sequence[tuple[Drawn, Values]]) -> str:
    least_control = 2 * movement.SAMPLES
    enough = [pair for pair in pairs if len(movement.numbers(control(view, *pair))) >= least_control]
    if not enough:
        return f"fewer than {least_control} samples in the control window"
    if not any(movement.known(control(view, *pair), fault(view, *pair), least(pair[0])) for pair in enough):
        return "too few samples under the fault"
    return ""


def _restless(view: View, pairs: Sequence[tuple[Drawn, Values]], direction: Direction) -> str:
    for pair in pairs:
        before = control(view, *pair)
        half = len(before) // 2
        if movement.moved(before[:half], before[half:], direction):
            return f"it moves {direction} without a fault, too"
    return ""


def _before(view: View, window: Span) -> float:
    return window.end if view.intended is None else view.intended
