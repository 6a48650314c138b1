"""Was all that was acknowledged found elsewhere after the undo, and nothing twice?

What counts as acknowledged was asked for between the beginning of the control window and the undo, and
answered with a 2xx status; its name is a header of that answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gameday.checks.view import Look, Request, Span, View
from gameday.durations import Bound, TimeScale, text
from gameday.expectations import Loss
from gameday.journal import History
from gameday.verdict import Finding, Verdict

_GOOD = range(200, 300)
_SHOWN = 3


def check(history: History, expectation: Loss, scale: TimeScale) -> Finding:  # noqa: ARG001 - work is never scaled
    view = View(history)
    names = acknowledged(view, expectation)
    doubt = _doubt(view, expectation)
    verdict, detail = (Verdict.INCONCLUSIVE, doubt) if doubt else _judge(view, expectation, names)
    return Finding(
        check="loss",
        subject=f"{expectation.route} in {expectation.service}",
        verdict=verdict,
        expected=f"each acknowledged one is found once, {expectation.within}",
        observed=_observed(view, expectation, names),
        detail=detail,
        n=len(names),
    )


def spoken(view: View, expectation: Loss, window: str) -> bool:
    if window != "recovery":
        return bool(_asked(view, expectation, view.fault)) if window == "fault" else True
    # Once more after all was there: what comes twice comes later.
    names = acknowledged(view, expectation)
    last = _looks(view, expectation)[-2:]
    return bool(names) and len(last) > 1 and all(not _lost(look, names) for look in last)


def unrest(view: View, expectation: Loss, span: Span) -> str:  # noqa: ARG001 - what is under way is no unrest
    return ""


def acknowledged(view: View, expectation: Loss) -> Collection[str]:
    """The names of all that must be found."""
    control = view.window("control")
    span = Span(control.start, view.undone) if control and view.undone is not None else None
    found = (request.headers.get(expectation.header) for request in _asked(view, expectation, span))
    return {name for name in found if name}


def _asked(view: View, expectation: Loss, span: Span | None) -> list[Request]:
    found = view.requests(expectation.route, span) if span else ()
    return [request for request in found if request.status in _GOOD]


def _looks(view: View, expectation: Loss) -> list[Look]:
    return [look for look in _all_looks(view, expectation) if look.counts is not None]


def _all_looks(view: View, expectation: Loss) -> Sequence[Look]:
    return view.looks(expectation.route, expectation.service, expectation.path)


def _lost(look: Look, names: Collection[str]) -> list[str]:
    return sorted(name for name in names if not (look.counts or {}).get(name))


def _doubled(look: Look) -> list[str]:
    return sorted(name for name, count in (look.counts or {}).items() if count > 1)


def _doubt(view: View, expectation: Loss) -> str:
    control, fault, undone = view.window("control"), view.fault, view.undone
    if control is None or fault is None or undone is None:
        return "a window is missing: control, fault and recovery are needed"
    if not _asked(view, expectation, fault):
        return "nothing was acknowledged while the fault was in force"
    asked = _asked(view, expectation, Span(control.start, undone))
    unnamed = sum(not request.headers.get(expectation.header) for request in asked)
    if unnamed:
        return f"{unnamed} answers have no header {expectation.header}: nobody can look for them"
    looks = _all_looks(view, expectation)
    if not any(look.counts is not None for look in looks):
        why = next((look.error for look in reversed(looks) if look.error), "nobody looked")
        return f"what arrived at {expectation.service} is not known: {why}"
    return ""


def _judge(view: View, expectation: Loss, names: Collection[str]) -> tuple[Verdict, str]:
    looks = _looks(view, expectation)
    if lost := _lost(looks[-1], names):
        return Verdict.REFUTED, f"lost: {_some(lost)}"
    if doubled := _doubled(looks[-1]):
        return Verdict.REFUTED, f"doubled: {_some(doubled)}"
    limit = expectation.within.limit + view.slack("breaker")
    took = _took(view, expectation, names)
    if took is None or not Bound(expectation.within.sign, limit).holds(took):
        return Verdict.REFUTED, f"it took {text(took or 0.0)} until all was found, allowed is {text(limit)}"
    return Verdict.CONFIRMED, f"allowed {text(limit)}, with {text(view.slack('breaker'))} slack"


def _took(view: View, expectation: Loss, names: Collection[str]) -> float | None:
    """Seconds from the undo to the first look that found all."""
    first = next((look for look in _looks(view, expectation) if not _lost(look, names)), None)
    return max(0.0, first.wall - view.undone) if first and view.undone is not None else None


def _observed(view: View, expectation: Loss, names: Collection[str]) -> str:
    looks = _looks(view, expectation)
    if not looks:
        return f"{len(names)} acknowledged"
    took = _took(view, expectation, names)
    when = f", all found after {text(took)}" if took is not None else ""
    return f"{len(names)} acknowledged: {len(_lost(looks[-1], names))} lost, {len(_doubled(looks[-1]))} doubled{when}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
