"""From the spool to Loki: queue, limits, requests and their outcomes."""
