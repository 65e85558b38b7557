"""Juniper Junos: structured data by RFC 5424, or RFC 3164 with the year behind the clock and two spaces.

    <14>1 2026-11-27T06:30:01.123Z srx1 RT_FLOW - RT_FLOW_SESSION_CREATE [junos@2636.1.1.1.2.26 …] text
    <28>Nov 27 06:30:01.123 2026  router1 mgd[3046]: UI_LOGOUT_EVENT: text

Both are read by the general rules. Documented in Juniper's "System Log Explorer" and "Log messages in
structured-data format" (`time-format`, `explicit-priority`).
"""

from appliance.relay.parse.dialects.dialect import Dialect, by_application

DIALECT = Dialect(
    "Juniper",
    "Junos",
    (),
    by_application,
    (b"RT_FLOW", b"RT_IDP", b"RT_UTM", b"RT_SYSTEM", b"RT_IDS", b"RT_AAMW", b"RT_SECINTEL", b"mgd", b"chassisd",
     b"dcd", b"rpd", b"/kernel", b"jsrpd"),
)  # fmt: skip
