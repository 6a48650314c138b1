from __future__ import annotations

from system.kit import app, settings
from system.llm_emulator.app import Settings, create

if __name__ == "__main__":
    chosen = settings.load(Settings)
    app.run(create(chosen), chosen)
