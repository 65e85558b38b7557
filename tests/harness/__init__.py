"""Processes and senders that tests use: the relay, rsyslogd, syslog and RELP clients.

Independent of the project's code, except that configuration files are what the project reads.
"""
