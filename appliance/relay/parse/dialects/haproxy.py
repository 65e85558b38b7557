"""HAProxy: `<134>TIME haproxy[123]: 10.0.0.9:1234 [27/Nov/2026:06:30:01.123] fe be/s1 0/0/1/2/3 200 …`.

RFC 3164, by default without a host. Documented in HAProxy's "Configuration Manual", sections 3.1 (`log`,
formats rfc3164, rfc5424, local, short and others) and 8.2.
"""

from appliance.relay.parse.dialects.dialect import Dialect, by_application

DIALECT = Dialect("HAProxy", "HAProxy", (), by_application, (b"haproxy",))
