from __future__ import annotations

from system.chat.app import Settings, create
from system.kit import app, settings

if __name__ == "__main__":
    chosen = settings.load(Settings)
    app.run(create(chosen), chosen, websockets=True)
