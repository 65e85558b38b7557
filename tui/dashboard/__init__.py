"""The dashboard: how the forwarder is, at one glance, and the way to everything else."""
