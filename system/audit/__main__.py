from system.audit.service import make
from system.audit.settings import AuditSettings
from system.kit import app, settings

if __name__ == "__main__":
    told = settings.load(AuditSettings)
    app.run(make(told), told)
