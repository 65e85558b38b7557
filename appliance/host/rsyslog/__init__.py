"""rsyslog's part of the log path: its configuration, rendered from ours and checked by rsyslogd itself."""

from appliance.host.rsyslog.render import Paths, check, render

__all__ = ["Paths", "check", "render"]
