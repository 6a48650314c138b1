from system.kit import app, settings
from system.users.service import make
from system.users.settings import UserSettings

if __name__ == "__main__":
    told = settings.load(UserSettings)
    app.run(make(told), told)
