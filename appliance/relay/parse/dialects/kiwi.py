"""Lines of Kiwi Syslog Server's own format: `2026-11-27<TAB>06:30:01<TAB>Local7.Notice<TAB>10.0.0.9<TAB>text`.

What its "Kiwi format ISO" writes to files and its forwarding of raw lines sends, without a priority of syslog:
the words are it. Documented in SolarWinds' "Log file formats" of Kiwi Syslog Server. Lines that it forwards
with `Original Address=` are read by `relayed`.
"""

import re

from appliance.relay.parse import header
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_FACILITIES = {name: number for number, name in enumerate(
    b"kernel user mail daemon auth syslog lpr news uucp cron security ftp ntp logaudit logalert clock".split()
    + [b"local%d" % number for number in range(8)])}  # fmt: skip
_LEVELS = {name: number for number, name in enumerate(b"emerg alert critical error warning notice info debug".split())}
_LINE = re.compile(
    rb"([0-9]{4}-[0-9]{2}-[0-9]{2})\t([0-9]{2}:[0-9]{2}:[0-9]{2})\t([A-Za-z0-9]{1,16})\.([A-Za-z]{1,16})\t(%b)\t"
    % header.HOST
)


def _read(message: Message) -> Record | None:
    found = _LINE.match(message.whole)
    if not found:
        return None
    facility, level = _FACILITIES.get(found[3].lower()), _LEVELS.get(found[4].lower())
    if facility is None or level is None or not message.take_time(b"%b %b" % (found[1], found[2])):
        return None
    if message.headless:
        message.priority = facility * 8 + level
        message.words = ()
    return message.record(message.whole[found.end() :], "notag", host=found[5])


DIALECT = Dialect("", "", (b"\t",), _read)
