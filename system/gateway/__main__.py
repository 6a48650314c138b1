from system.gateway.service import make
from system.gateway.settings import GatewaySettings
from system.kit import app, settings

if __name__ == "__main__":
    told = settings.load(GatewaySettings)
    app.run(make(told), told, websockets=True)
