"""The dialects of devices: one module each, and the table in which they are found.

To add one, write its module with a `DIALECT`, name it in `TABLE`, and write its test. A dialect is asked
only for messages whose beginning holds one of its marks, and before the general rules of RFC 3164.
"""

from appliance.relay.parse.dialects import (
    access_log,
    aruba,
    cef,
    cisco,
    cisco_ise,
    esp,
    fortinet,
    haproxy,
    hp,
    huawei,
    juniper,
    kiwi,
    meraki,
    mikrotik,
    netapp,
    netgate,
    paloalto,
    sonicwall,
    sophos,
    synology,
    truenas,
    unifi,
    vmware,
    watchguard,
    windows,
    xcpng,
)
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

TABLE: tuple[Dialect, ...] = tuple(
    module.DIALECT
    for module in (
        cef, fortinet, sophos, sonicwall, kiwi, huawei, cisco, cisco_ise, aruba, unifi, paloalto, watchguard,
        mikrotik, windows, meraki, netapp, hp, synology, esp, vmware, access_log, haproxy, juniper, netgate, truenas,
        xcpng,
    )
)  # fmt: skip
"""In the order in which they are asked: those with a mark of their own first."""

_LOOKED_AT = 512  # bytes at the beginning of a message in which a dialect's mark must stand
_MARKED = tuple((dialect.marks, dialect) for dialect in TABLE if dialect.marks)

APPLICATIONS = {
    application: (dialect.vendor, dialect.product) for dialect in TABLE for application in dialect.applications
}
"""(vendor, product) of applications that only one device has."""


def read(message: Message) -> Record | None:
    """Return the record of the first dialect that the message is in, None if it is in none."""
    beginning = message.whole[:_LOOKED_AT]
    for marks, dialect in _MARKED:
        for mark in marks:
            if mark in beginning:
                message.vendor, message.product = dialect.vendor, dialect.product
                record = dialect.read(message)
                if record is not None:
                    return record
                break
    message.vendor = message.product = ""
    return None
