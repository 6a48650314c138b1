"""What the Chaos Toolkit calls completed, exit code 0, though nothing was proven: gameday confirms none of it.

Each story first shows the toolkit's green, so that a release which mends one is noticed, and then the verdict here.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import histories as h
import pytest
from chaoslib.experiment import run_experiment
from chaoslib.types import Schedule, Strategy

from gameday import experiment
from gameday.catalogue import Catalogue, compose
from gameday.errors import GamedayError, InputError
from gameday.judge import judge
from gameday.tools import chaos
from gameday.verdict import Verdict

ROOT = Path(__file__).parents[2]
DOWN = ROOT / "experiments/recommendation-down.yaml"
SPOIL = """
from pathlib import Path
BROKEN = Path(__file__).with_name("broken")
def fine(): return True
def never(): return False
def raises(): raise RuntimeError("it could not be done")
def breaks(): BROKEN.touch()
def mends(): BROKEN.unlink()
def holds(): return not BROKEN.exists()
def nothing(): return {"status": "success", "data": {"resultType": "vector", "result": []}}
def nan(): return float("nan")
"""


@pytest.fixture(autouse=True)
def _spoil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "spoil.py").write_text(SPOIL)
    monkeypatch.syspath_prepend(str(tmp_path))
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    sys.modules.pop("spoil", None)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return compose.load([ROOT / "docker-compose.yml"], environment={})


def action(func: str, **more: Any) -> dict[str, Any]:
    return {"type": "action", "name": func, "provider": {"type": "python", "module": "spoil", "func": func}, **more}


def story(*method: dict[str, Any], hypothesis: str = "", undo: str = "") -> dict[str, Any]:
    told: dict[str, Any] = {"title": "t", "description": "d", "method": list(method)}
    told["rollbacks"] = [action(undo)] if undo else []
    if hypothesis:
        probe = action(hypothesis) | {"type": "probe", "tolerance": True}
        told["steady-state-hypothesis"] = {"title": "all is well", "probes": [probe]}
    return told


def stock(told: dict[str, Any], strategy: Strategy = Strategy.DEFAULT) -> dict[str, Any]:
    """The journal of a run that the toolkit's command ends with exit code 0."""
    schedule = Schedule(continuous_hypothesis_frequency=0.05)
    journal: dict[str, Any] = run_experiment(told, settings={}, strategy=strategy, schedule=schedule)
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    return journal


def verdict(journal: dict[str, Any]) -> Verdict:
    """Of a run of which all else went well."""
    return judge(h.history(h.replace(("toolkit", chaos.digest(journal)))(h.good()))).verdict


def test_the_hypothesis_did_not_hold_before_anything_was_broken() -> None:
    assert verdict(stock(story(action("fine"), hypothesis="never"))) is Verdict.INCONCLUSIVE


def test_an_action_raised() -> None:
    assert verdict(stock(story(action("raises"), hypothesis="fine"))) is Verdict.INCONCLUSIVE


def test_a_rollback_failed() -> None:
    assert verdict(stock(story(action("fine"), hypothesis="fine", undo="raises"))) is Verdict.INCONCLUSIVE


def test_the_hypothesis_did_not_hold_while_the_fault_was_in_force() -> None:
    """Even asked all the time. Here it is the recorded requests that tell."""
    broken = action("breaks", pauses={"after": 0.3})
    stock(story(broken, action("mends"), hypothesis="holds"), Strategy.CONTINUOUS)
    spoilt = h.change("request", h.during(h.IN_FORCE + 2, h.IN_FORCE + 6), status=500, json={})(h.good())
    assert judge(h.history(spoilt)).verdict is Verdict.REFUTED


@pytest.mark.parametrize("kind", ["sample", "scrape", "request", "lease", "toolkit"])
def test_there_was_no_data(kind: str) -> None:
    """A probe of Prometheus that gets an empty vector has succeeded; a check that sees nothing has not."""
    assert stock(story(action("nothing") | {"type": "probe"}))["run"][0]["status"] == "succeeded"
    assert judge(h.history(h.without(kind)(h.good()))).verdict.exit_code == 3


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("rollbacks:", "rolbacks:"), ("expect:", "expects:"), ("title:", "titel:")],
)
def test_a_key_is_misspelt(tmp_path: Path, catalogue: Catalogue, right: str, wrong: str) -> None:
    misspelt = story(action("fine"), hypothesis="fine")
    misspelt["rolbacks"] = misspelt.pop("rollbacks")
    stock(misspelt)
    refused(tmp_path, catalogue, DOWN.read_text().replace(right, wrong, 1), wrong.rstrip(":"))


def test_a_control_that_was_to_keep_it_safe_is_misspelt(tmp_path: Path, catalogue: Catalogue) -> None:
    control = {"name": "stop", "provider": {"type": "python", "module": "spoil.no_such_control"}}
    stock(story(action("fine"), hypothesis="fine") | {"controls": [control]})
    text = "controls:\n  - name: stop\n    provider: {type: python, module: no_such_control}\n" + DOWN.read_text()
    refused(tmp_path, catalogue, text, "no_such_control")


def refused(tmp_path: Path, catalogue: Catalogue, text: str, named: str) -> None:
    (tmp_path / "spoilt.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        experiment.read(tmp_path / "spoilt.yaml", catalogue)
    assert any(named in str(problem) and problem.mend for problem in raised.value.problems)


def test_the_toolkit_itself_crashed(tmp_path: Path) -> None:
    """Over a NaN. It leaves no journal, and undoes nothing: the lease ends with the process that took it."""
    told = story(action("breaks"), hypothesis="nan", undo="mends")
    told["steady-state-hypothesis"]["probes"][0]["tolerance"] = {"type": "range", "range": [0, 1]}
    with pytest.raises(ArithmeticError):
        stock(told, Strategy.AFTER_METHOD)
    assert (tmp_path / "broken").exists()
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(told))
    child = chaos.ChaosChild(file, tmp_path / "chaos.json", tmp_path / "log", {"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    child.go()
    child._process.wait(30)
    with pytest.raises(GamedayError, match="left no journal"):
        child.record()
    assert judge(h.history(h.without("toolkit")(h.good()))).verdict is Verdict.INCONCLUSIVE
