"""The log path: listeners, labels, spool, sender. Runs without the rest of the appliance."""
