"""Cisco ISE: `<181>TIME ise01 CISE_Passed_Authentications 0000012345 1 0 2026-11-27 06:30:01.123 +00:00 …`.

The category of the message is the application. Documented in "Cisco Identity Services Engine Syslogs".
"""

from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.dialects.unpunctuated import reader

DIALECT = Dialect("Cisco", "ISE", (b" CISE_",), reader(rb"CISE_[A-Za-z_]{1,64}"))
