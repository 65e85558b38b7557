"""A bench of spool, sender and Loki for each test of the sender."""

from tests.harness.sending import bench, double

__all__ = ["bench", "double"]
