"""Certificates: our own authority and what it issues, imports, requests, renewal."""
