"""`x-gameday`: its keys, and the page that explains them."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel
from ruamel.yaml import YAML

from gameday.catalogue.extension import KEY, ServiceKeys, StatesKeys, SystemKeys, TelemetryKeys, TimerKeys, WaiverKeys

PAGE = (Path(__file__).parents[2] / "docs" / "compose.md").read_text()
SYSTEM, SERVICE = (YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_the_page_shows_every_key_and_no_other() -> None:
    top = SYSTEM[KEY]
    one = SERVICE["services"]["gateway"][KEY]
    assert set(top) == keys(SystemKeys)
    assert set(top["telemetry"]) == keys(TelemetryKeys)
    assert set(top["timers"]["RETRY_SECONDS"]) == keys(TimerKeys)
    assert set(top["waivers"][0]) == keys(WaiverKeys)
    assert set(one) == keys(ServiceKeys)
    assert set(one["provider-states"]) == keys(StatesKeys)


def test_what_the_page_shows_is_right() -> None:
    assert SystemKeys.model_validate(SYSTEM[KEY]).entry == "gateway"
    assert ServiceKeys.model_validate(SERVICE["services"]["gateway"][KEY]).metrics == "/metrics"
