"""Synology DSM: `<14>TIME NAS01 WinFileService Event: read, Path: /volume1/…` of the file services.

The service is the application. Documented in Synology's "Log Center" (transfer logs); DSM's other messages
are RFC 3164 (`NAS01 Connection: User [admin] from …`) or RFC 5424, as is chosen there.
"""

from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.dialects.unpunctuated import reader

DIALECT = Dialect(
    "Synology",
    "DSM",
    (b" Event: ",),
    reader(rb"(?:WinFileService|FileStation|File_Station|AFP|FTP|SFTP|TFTP|WebDAV|DSMFile|DSM)(?= Event: )"),
    (b"synologand", b"synoscheduler", b"WinFileService"),
)
