"""No setting moves the way from rsyslog and the receiver to the relay: it depends on no port and no path of theirs."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.load import parse
from appliance.host.layout import RELAY_CONFIG
from appliance.host.system import render as names
from appliance.host.system.render import Secrets, render
from appliance.host.tree import File

_LISTENERS = ("udp", "tcp", "tls", "relp", "relp_tls")
_HANDED = re.compile(r'file="([^"]*handover[^"]*/current)"')
_BY_NETWORK = re.compile(r'type="(omrelp|omfwd|ommail|omuxsock)"')


def rendered(text: str) -> tuple[str, str]:
    """Return rsyslog.conf and the relay's file as the machine gets them."""
    tree = render(parse(text).config, text, secrets=Secrets(), owner="root", group="root")
    files = [tree[path] for path in (names.RSYSLOG, RELAY_CONFIG)]
    assert all(isinstance(file, File) for file in files)
    rsyslog, relay = (file.content.decode() for file in files if isinstance(file, File))
    return rsyslog, relay


def way(text: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return where rsyslog puts what it received, and where the relay looks for it."""
    rsyslog, relay = rendered(text)
    assert not _BY_NETWORK.search(rsyslog), "nothing is handed over by a port that somebody else may have"
    return frozenset(_HANDED.findall(rsyslog)), tuple(re.findall(r"^ +handover: (.*)$", relay, re.MULTILINE))


def config(listeners: dict[str, int], more: str = "") -> str:
    shown = ", ".join(f"{name}: {{port: {port}}}" for name, port in listeners.items())
    return f"loki: {{url: 'http://loki:3100/loki/api/v1/push'}}\nlisteners: {{{shown}}}\n{more}"


_PORTS = st.one_of(st.sampled_from([2514, 2515, 6514, 514]), st.integers(1, 65535))
USUAL = way(config({"udp": 514, "tcp": 514}))


def test_there_is_a_way_at_all() -> None:
    written, read = USUAL
    assert written and len(read) == 1
    assert all(path.startswith(read[0].strip("'\"") + "/") for path in written)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(_LISTENERS), st.one_of(st.sampled_from([2514, 2515, 6514, 514]), st.integers(1, 65535))
    )
)
def test_no_listener_that_is_switched_on_off_or_moved_moves_it(listeners: dict[str, int]) -> None:
    taken: set[int] = set()
    kept = {}
    for name, port in listeners.items():
        if name != "udp" and port in (*taken, 9081, 22):
            continue
        taken |= {port} if name != "udp" else set()
        kept[name] = port
    assert way(config(kept)) == USUAL


@pytest.mark.parametrize(
    "more",
    [
        "relay: {spool: {path: /var/lib/appliance/elsewhere, max_size: 5GiB}}\n",
        "relay: {listen: {push: '0.0.0.0:3500', syslog_tcp: ':1514', http: '127.0.0.1:9999'}, push: {anyone: true}}\n",
        "relay: {listen: {relp: '127.0.0.1:20514'}}\n",
        "labels: {static: {job: other}}\n",
        "system: {hostname: other, timezone: Europe/Paris}\n",
    ],
)
def test_no_other_setting_moves_it(more: str) -> None:
    assert way(config({"udp": 514, "tcp": 514}, more)) == USUAL
