from system.kit import app, settings
from system.moderation.service import make
from system.moderation.settings import ModerationSettings

if __name__ == "__main__":
    told = settings.load(ModerationSettings)
    app.run(make(told), told)
