"""The dashboard: the status of the forwarder at a glance, and the way to everything else."""
