"""recommendation-svc: what a user may like next, by a model that this package trains itself."""
