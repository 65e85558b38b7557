"""The machine's own files: what the configuration makes of network, time, firewall and access."""
