"""The HTTP service: API, roles, audit, live feed, pages and metrics over the store."""
