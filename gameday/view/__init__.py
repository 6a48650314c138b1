"""`gameday view`: one local page of the running system, for people who run no Grafana.

The edge map with its faults, the generated boards drawn from Prometheus, the runs that are kept.
"""
