"""The console: first-boot wizard and dashboard. Shows and asks; what is done is `appliance.host`'s."""
