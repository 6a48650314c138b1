from system.content.service import make
from system.content.settings import ContentSettings
from system.kit import app, settings

if __name__ == "__main__":
    told = settings.load(ContentSettings)
    app.run(make(told), told)
