"""Firmware of ESP8266 and ESP32: Tasmota, ESPHome, ESPEasy and the Arduino Syslog library, none with a sure clock.

    <134>tasmota-1A2B3C ESP-MQT: text         Tasmota up to 13
    <134>- livingroom sensor: text            ESPHome before its clock is set
    <30>kitchen-node app[0]: text             the Arduino library's BSD form
    <7>Garage EspEasy: text

Forms from the sources: arendst/Tasmota (Syslog in support_tasmota), esphome/esphome (components/syslog),
letscontrolit/ESPEasy (ESPEasy_Log), arcao/Syslog (Syslog.cpp).
"""

import re

from appliance.relay.parse import header
from appliance.relay.parse.dialects.dialect import Dialect
from appliance.relay.parse.message import Message
from appliance.relay.parse.record import Record

_NO_TIME = re.compile(rb"- {1,4}(%b) (%b)(?:\[(%b)\])?: ?" % (header.HOST, header.TAG, header.PROCESS))
_COMPONENT = (
    rb"(?:api|wifi|ota|mqtt|sensor|binary_sensor|text_sensor|web_server|captive_portal|esphome|component)"
    rb"(?:\.[a-z0-9_.]{1,40})?"
)
_UNTIMED = re.compile(
    rb"(%b) ((?:ESP-[A-Z0-9]{2,4}|EspEasy|%b)|%b(?=\[[0-9]))(?:\[([0-9]{1,10})\])?: ?"
    % (header.HOST, _COMPONENT, header.TAG)
)
_PRODUCTS = {b"ESP-": "Tasmota", b"EspE": "ESPEasy"}


def _read(message: Message) -> Record | None:
    if message.stamp:
        return None
    found = _NO_TIME.match(message.body) or _UNTIMED.match(message.body)
    if not found or message.headless:
        return None
    message.product = _PRODUCTS.get(found[2][:4], "")
    if not message.product:
        message.vendor = ""
    return message.record(message.body[found.end() :], host=found[1], application=found[2], process=found[3])


DIALECT = Dialect("Espressif", "", (b":",), _read)
