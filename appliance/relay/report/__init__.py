"""What the relay reports about itself: metrics, status, readiness."""
