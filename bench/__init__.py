"""The benchmark: `python -m bench --help`. Real processes, real sockets, one load for all peers."""
