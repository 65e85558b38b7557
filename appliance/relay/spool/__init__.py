"""Batches on disk: writing, reading, quarantine of unreadable files, and dead letters."""
