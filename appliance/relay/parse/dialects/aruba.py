"""Aruba ClearPass: `<46>TIME clearpass CPPM_System_Events 973 1 0 event_source=SnmpService,level=ERROR,…`.

The kind of the export is the application. Documented in Aruba's "ClearPass Policy Manager User Guide", Syslog
Export Filters. Controllers and switches of Aruba write RFC 3164 with the year behind the clock.
"""

from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.dialects.unpunctuated import reader

DIALECT = Dialect("Aruba", "ClearPass", (b" CPPM_",), reader(rb"CPPM_[A-Za-z_]{1,64}"))
