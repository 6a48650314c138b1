"""gameday breaks a compose system on purpose and proves what users, traces, dashboards and alerts saw."""

__version__ = "0.1.0"
