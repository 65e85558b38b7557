"""pfSense and OPNsense: the packet filter's log, `<134>TIME filterlog[12345]: 5,,,1000000103,igb0,match,block,in,4,…`.

RFC 3164 without a host from older pfSense, with one or as RFC 5424 from newer; nothing needs to be read
differently. Documented in Netgate's "Raw Filter Log Format" and OPNsense's "Logging".
"""

from appliance.relay.parse.dialects.dialect import Dialect, by_application

DIALECT = Dialect("pf", "filterlog", (), by_application, (b"filterlog",))
