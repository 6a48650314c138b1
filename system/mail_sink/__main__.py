from system.kit import app, settings
from system.mail_sink.service import SinkSettings, make

if __name__ == "__main__":
    told = settings.load(SinkSettings)
    app.run(make(told), told)
