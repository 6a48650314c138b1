"""The catalogue: what `docker-compose.yml` says. The only list of services."""

from gameday.catalogue.model import Catalogue, Edge, EdgeKind, Evidence, Service

__all__ = ["Catalogue", "Edge", "EdgeKind", "Evidence", "Service"]
