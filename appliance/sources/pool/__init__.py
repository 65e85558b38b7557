"""Onboarding an XCP-ng pool: its hosts' syslog destination set over XAPI, and their first lines waited for."""
