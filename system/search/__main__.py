from system.kit import app, settings
from system.search.service import make
from system.search.settings import SearchSettings

if __name__ == "__main__":
    told = settings.load(SearchSettings)
    app.run(make(told), told)
