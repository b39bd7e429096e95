"""The REST service `molvae serve`: jobs that share one model, endpoints, limits (extra `serve`)."""
