"""A small store of spans: takes OTLP over HTTP, keeps them in SQLite, answers Jaeger's queries.

It stands in the process runtime where Jaeger's image stands elsewhere, and speaks
the same protocols, so that whoever reads traces need not know which of them runs.
"""
