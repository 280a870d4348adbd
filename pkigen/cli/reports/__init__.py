"""Plans, states and restart maps as text, JSON, YAML, Prometheus metrics and calendars."""
