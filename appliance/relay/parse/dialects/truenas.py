"""TrueNAS: `<30>TIME nas TNAUDIT_SMB: @cee:{"TNAUDIT": …}` of the audit, RFC 3164 or RFC 5424 for the rest.

What stands behind `@cee:` is JSON, and stays in the text with its cookie. Documented in TrueNAS' "Auditing"
and in syslog-ng's JSON parser (`prefix`, Common Event Expression's cookie).
"""

from appliance.relay.parse.dialects.dialect import Dialect, by_application

DIALECT = Dialect(
    "TrueNAS",
    "TrueNAS",
    (),
    by_application,
    (b"TNAUDIT_SMB", b"TNAUDIT_MIDDLEWARE", b"TNAUDIT_SUDO", b"TNAUDIT_SYSTEM", b"middlewared"),
)
