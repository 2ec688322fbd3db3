"""Metrics for Prometheus: counted from the events of calls, and read from the process at each scrape."""
