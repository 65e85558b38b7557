"""XCP-ng and XenServer, dom0's programs: `<135>TIME xcp-1 xapi: [debug||12 |x|y] text`.

RFC 3164 by rsyslog's traditional template, whose tags are cut at 32 characters, which `rfc3164` knows.
Documented in XCP-ng's "Log Files" and in xen-api (scripts/xe-syslog-reconfigure).
"""

from appliance.relay.parse.dialects.dialect import Dialect, by_application

DIALECT = Dialect(
    "XCP-ng",
    "XCP-ng",
    (),
    by_application,
    (b"xapi", b"xenopsd-xc", b"xenopsd", b"xcp-networkd", b"xcp-rrdd", b"squeezed", b"forkexecd", b"xapi-guard",
     b"SMGC"),
)  # fmt: skip
