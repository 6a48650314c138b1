"""What a service is told by its environment. A secret may come from a file: `JWT_KEY_FILE` holds `JWT_KEY`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class FileSecrets(PydanticBaseSettingsSource):
    """`<NAME>_FILE` names a file whose text, less its last newline, is the value of `<NAME>`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        file = os.environ.get(f"{field_name.upper()}_FILE")
        return (Path(file).read_text().rstrip("\n") if file else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """The settings that every service has. A service's own class adds to them.

    `host` is loopback unless an image says otherwise, so that nothing is open to
    the network by accident. Times are in seconds. `pact_states` is for the verification
    of contracts alone: with it anybody may put the service into the states that they name.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    host: str = "127.0.0.1"
    port: int
    log_level: str = "info"
    drain_seconds: int = 8
    body_limit_bytes: int = 1_000_000
    pact_states: bool = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, FileSecrets(settings_cls), env_settings


S = TypeVar("S", bound=Settings)


def load(settings: type[S]) -> S:
    """Reads the environment. Ends the process with every problem by the variable's name; values are not shown."""
    try:
        return settings()  # type: ignore[call-arg]  # the environment gives them
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        sys.exit("\n".join(("the environment is wrong:", *problems)))
    except OSError as error:
        sys.exit(f"the environment is wrong:\n{error.filename}: a *_FILE that cannot be read ({error.strerror})")
