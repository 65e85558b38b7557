"""The Textual user interface: first-boot wizard and dashboard."""
