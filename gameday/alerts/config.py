"""What Prometheus scrapes and probes, and whom Alertmanager tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gameday.alerts.rules import PROBE_JOB
from gameday.alerts.timers import prometheus as duration
from gameday.alerts.timers import timer
from gameday.catalogue import Catalogue, Service


def prometheus(catalogue: Catalogue, scale: float) -> dict[str, Any]:
    """The content of `prometheus.yml`. A job is called as its service."""
    config: dict[str, Any] = {
        "global": {
            "scrape_interval": duration(timer("scrape_interval", scale)),
            "scrape_timeout": duration(timer("scrape_timeout", scale)),
            "evaluation_interval": duration(timer("evaluation_interval", scale)),
        },
        "rule_files": ["rules.yml"],
        "scrape_configs": list(_jobs(catalogue)),
    }
    if target := _address(catalogue, catalogue.telemetry.alertmanager):
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [target]}]}]}
    return config


def alertmanager(catalogue: Catalogue, scale: float) -> dict[str, Any]:
    """The content of `alertmanager.yml`: everything goes to gameday's webhook."""
    receiver: dict[str, Any] = {"name": "gameday"}
    if catalogue.telemetry.webhook:
        receiver["webhook_configs"] = [
            {"url": f"http://{catalogue.telemetry.webhook}/alerts", "send_resolved": True, "max_alerts": 0}
        ]
    route = {
        "receiver": "gameday",
        # Each alert is a group of its own: none waits for the interval of another.
        "group_by": ["..."],
        **{name: duration(timer(name, scale)) for name in ("group_wait", "group_interval", "repeat_interval")},
    }
    return {"route": route, "receivers": [receiver]}


def _jobs(catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    for service in catalogue.services.values():
        if service.metrics_path and service.ports:
            yield _job(service, service.metrics_path)
    if target := _address(catalogue, catalogue.telemetry.prometheus):
        yield {"job_name": catalogue.telemetry.prometheus, "static_configs": [{"targets": [target]}]}
    prober = next((service for service in catalogue.services.values() if _is_prober(service)), None)
    if prober and prober.ports and catalogue.entry and catalogue.routes:
        yield _probe(catalogue, f"{prober.name}:{prober.ports[0]}", catalogue.entry)


def _job(service: Service, path: str) -> dict[str, Any]:
    job: dict[str, Any] = {
        "job_name": service.name,
        "static_configs": [{"targets": [f"{service.name}:{service.ports[0]}"]}],
    }
    return job if path == "/metrics" else {**job, "metrics_path": path}


def _probe(catalogue: Catalogue, prober: str, entry: str) -> dict[str, Any]:
    """The blackbox exporter's way: it is scraped, the probed address is its parameter."""
    base = f"http://{_address(catalogue, entry)}"
    routes = [route for route in catalogue.routes if route.startswith("GET ")]
    return {
        "job_name": PROBE_JOB,
        "metrics_path": "/probe",
        "params": {"module": ["http_2xx"]},
        "static_configs": [
            {"targets": [base + route.removeprefix("GET ")], "labels": {"route": route}} for route in routes
        ],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": prober},
        ],
    }


def _address(catalogue: Catalogue, name: str | None) -> str | None:
    service = catalogue.services.get(name) if name else None
    return f"{service.name}:{service.ports[0]}" if service and service.ports else None


def _is_prober(service: Service) -> bool:
    return service.image is not None and service.image.split("@")[0].rpartition("/")[2].startswith("blackbox-exporter")
