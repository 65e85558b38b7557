"""What `appliance sources linux` prints really sends: by a real rsyslogd, over each transport, to a real rsyslogd."""

import re
import socket
import time
from pathlib import Path

import pytest
import trustme

from appliance.sources.forwarder import Forwarder, Transport
from appliance.sources.recipe import fill_in
from appliance.sources.register import kinds
from tests.harness.net import free_port, wait_until
from tests.harness.processes import Process, Rsyslogd

NAME = "localhost"
FORMAT = 'template(name="seen" type="string" string="%rawmsg%\\n")\n'


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Paths that the recipe writes, and where this test has what belongs there."""
    authority = trustme.CA()
    server, client = authority.issue_cert(NAME, "127.0.0.1"), authority.issue_cert("sender.example.org")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    for name, pair in (("server", server), ("client", client)):
        pair.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
        pair.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    return {
        "/etc/ssl/forwarder-ca.crt": str(tmp_path / "ca.crt"),
        "/etc/ssl/forwarder-client.crt": str(tmp_path / "client.crt"),
        "/etc/ssl/forwarder-client.key": str(tmp_path / "client.key"),
    }


def receiver(transport: Transport, port: int, directory: Path) -> str:
    """A forwarder's rsyslog as far as this transport goes, with client certificates asked for by TLS."""
    tls = (f'global(defaultNetstreamDriverCAFile="{directory}/ca.crt" defaultNetstreamDriverCertFile='
           f'"{directory}/server.crt" defaultNetstreamDriverKeyFile="{directory}/server.key")\n')  # fmt: skip
    inputs = {
        "udp": f'module(load="imudp")\ninput(type="imudp" address="127.0.0.1" port="{port}")\n',
        "tcp": f'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="{port}")\n',
        "tls": f'{tls}module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" '
        f'StreamDriver.AuthMode="x509/certvalid")\ninput(type="imtcp" address="127.0.0.1" port="{port}")\n',
        "relp": f'module(load="imrelp")\ninput(type="imrelp" address="127.0.0.1" port="{port}")\n',
        "relp_tls": f'module(load="imrelp")\ninput(type="imrelp" address="127.0.0.1" port="{port}" tls="on" '
        f'tls.caCert="{directory}/ca.crt" tls.myCert="{directory}/server.crt" tls.myPrivKey="{directory}/server.key" '
        'tls.authMode="name" tls.permittedPeer="sender.example.org")\n',
    }
    return f'{FORMAT}{inputs[transport]}action(type="omfile" file="{directory}/seen" template="seen")\n'


def drop_in(at: Forwarder, certificates: dict[str, str]) -> str:
    lines = list(fill_in(kinds()["linux"], at).variants[0].lines)
    begin = lines.index("cat > /etc/rsyslog.d/90-forwarder.conf <<'END'")
    text = "\n".join(lines[begin + 1 : lines.index("END", begin)])
    for written, real in certificates.items():
        text = text.replace(written, real)
    return text + "\n"


@pytest.mark.parametrize("transport", ["relp_tls", "relp", "tls", "tcp", "udp"])
def test_the_printed_drop_in_sends_whole_lines_with_a_zone(
    transport: Transport, certificates: dict[str, str], tmp_path: Path, processes: list[Process]
) -> None:
    port, local = free_port(), free_port(socket.SOCK_DGRAM)
    here = Rsyslogd(tmp_path / "here", receiver(transport, port, tmp_path))
    processes.append(here)
    here.up(*([] if transport == "udp" else [port]))
    at = Forwarder("127.0.0.1", NAME, wants_client_certificate=transport in ("tls", "relp_tls"), **{transport: port})
    there = tmp_path / "there"
    config = f'global(workDirectory="{there}/work")\nmodule(load="imudp")\n'
    config += f'input(type="imudp" address="127.0.0.1" port="{local}")\n{drop_in(at, certificates)}'
    sender = Rsyslogd(there, config)
    processes.append(sender)
    sender.up()
    seen = tmp_path / "seen"

    def arrived() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"<13>Jan  1 00:00:00 web1 app[7]: hello " + b"x" * 3000, ("127.0.0.1", local))
        time.sleep(0.2)
        return seen.exists() and seen.stat().st_size > 0

    wait_until(arrived, 30, what=lambda: here.output[-2000:] + sender.output[-2000:])
    line = seen.read_text().splitlines()[0]
    # rsyslog's template keeps the space that stood before the text.
    assert re.match(r"<13>1 \S+[+-]\d\d:\d\d web1 app 7 - - +hello xxx", line)
    if transport != "udp":
        assert line.endswith("x" * 3000)
