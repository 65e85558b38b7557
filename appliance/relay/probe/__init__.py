"""Checks that somebody asks for: connection to Loki, test messages, reading back."""
