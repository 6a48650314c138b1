from system.ai_worker.service import make
from system.ai_worker.settings import WorkerSettings
from system.kit import app, settings

if __name__ == "__main__":
    told = settings.load(WorkerSettings)
    app.run(make(told), told)
