"""ESP8266 and ESP32 devices, which often have no time: host and application are read all the same."""

import pytest

from tests.unit.relay.parse.reading import check, reading


@pytest.mark.parametrize(
    ("header", "host", "application", "process", "product"),
    [
        (b"tasmota-1A2B3C ESP-MQT:", b"tasmota-1A2B3C", b"ESP-MQT", b"-", "Tasmota"),
        (b"kitchen ESP-HTP:", b"kitchen", b"ESP-HTP", b"-", "Tasmota"),
        (b"- livingroom sensor:", b"livingroom", b"sensor", b"-", ""),
        (b"kitchen sensor:", b"kitchen", b"sensor", b"-", ""),
        (b"living-room binary_sensor.gpio:", b"living-room", b"binary_sensor.gpio", b"-", ""),
        (b"kitchen-node app[0]:", b"kitchen-node", b"app", b"0", ""),
        (b"Garage EspEasy:", b"Garage", b"EspEasy", b"-", "ESPEasy"),
        (b"1 - boiler wifi - - -", b"boiler", b"wifi", b"-", ""),
    ],
)
def test_a_device_without_a_clock(header: bytes, host: bytes, application: bytes, process: bytes, product: str) -> None:
    check(
        b"<134>%b connected: 21.5" % header,
        host=host,
        application=application,
        process=process,
        product=product,
        text=b"connected: 21.5",
        stamp=b"",
        words=("notime",),
    )


@pytest.mark.parametrize("text", [b"Warning: disk full", b"user admin failed: why", b"- two words"])
def test_words_are_no_device(text: bytes) -> None:
    assert (reading(b"<13>" + text).host, reading(b"<13>" + text).text) == (b"-", text)
