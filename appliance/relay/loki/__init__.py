"""Loki's protocol: push format, label syntax, HTTP client, and what its answers mean."""
