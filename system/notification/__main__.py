from system.kit import app, settings
from system.notification.service import make
from system.notification.settings import NotificationSettings

if __name__ == "__main__":
    told = settings.load(NotificationSettings)
    app.run(make(told), told)
