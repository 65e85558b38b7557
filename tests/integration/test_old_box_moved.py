"""The user's own box, moved: a relay configured by import-promtail, fed by the user's own rsyslog file."""

import socket
import time
from pathlib import Path

import yaml

from appliance.config.promtail import Given, convert_all
from appliance.config.promtail.convert import Text
from tests.conftest import StartRelay
from tests.harness.net import free_port, wait_until
from tests.harness.processes import Process, Rsyslogd
from tests.harness.senders import lines, octet_counted, rfc5424, send_tcp
from tests.loki_double import LokiUnderTest

BOX = Path(__file__).parent.parent / "unit" / "data" / "old-box"


def stamp() -> str:
    """A time of RFC 3164, now."""
    return time.strftime("%b %e %H:%M:%S", time.gmtime())


def test_each_machine_of_the_old_installation_keeps_its_stream_and_its_text(
    loki: LokiUnderTest, start_relay: StartRelay, tmp_path: Path, processes: list[Process]
) -> None:
    old = (BOX / "rsyslog-promtail.conf").read_text()
    conversion = convert_all(Given([Text((BOX / "promtail.yml").read_text())], [Text(old)]))
    made = yaml.safe_load(conversion.text)
    settings = {"labels": made["labels"], "relay": {key: made["relay"][key] for key in ("time", "connections")}}
    relay = start_relay(loki.push_url, settings)

    port = free_port()
    drop_in = old.replace('Port="1514"', f'Port="{relay.syslog_tcp}"').replace('port="514"', f'port="{port}"')
    work = f'global(workDirectory="{tmp_path}/rsyslog/work")\n'
    rsyslog = Rsyslogd(tmp_path / "rsyslog", work + drop_in)
    processes.append(rsyslog)
    rsyslog.up(port)

    linux = rfc5424("Accepted publickey for root", host="web1", application="sshd", pri=86)
    audit = '@cee:{"TNAUDIT": {"svc": "SMB", "user": "bob", "event": "CONNECT", "success": true}}'
    truenas = [
        f"<27>{stamp()} nas1 smbd[4431]: no more space".encode(),
        rfc5424(audit, host="nas1", application="TNAUDIT_SMB", pri=110),
    ]
    datagrams = [
        f"<4>{stamp()} vyos-paris kernel: [WAN-IN-default-D]IN=eth0 OUT= SRC=198.51.100.7",
        f"<175>{stamp()} xcp1 xapi: [debug||17 |session.login|xapi] raised exception",
        f"<171>{stamp()} xcp1 xapi: [error||17 ||backtrace] 1/3 xapi Raised at file ocaml/xapi/xapi_host.ml, line 9",
    ]
    send_tcp(port, octet_counted([linux]))
    send_tcp(port, lines(truenas))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for datagram in datagrams:
            sock.sendto(datagram.encode(), ("127.0.0.1", port))

    wait_until(lambda: loki.count() >= 6, 20, what=lambda: rsyslog.output[-2000:] + relay.output[-2000:])
    found = [(labels, line.strip()) for labels, _, line, _ in loki.entries()]
    assert {tuple(sorted(labels.items())) for labels, _ in found} == {
        (("host", host), ("job", "syslog")) for host in ("web1", "nas1", "vyos-paris", "xcp1")
    }
    texts = {(labels["host"], line) for labels, line in found}
    assert texts == {
        ("web1", "Accepted publickey for root"),
        ("nas1", "no more space"),
        ("nas1", audit),
        ("vyos-paris", "[WAN-IN-default-D]IN=eth0 OUT= SRC=198.51.100.7"),
        ("xcp1", "[debug||17 |session.login|xapi] raised exception"),
        ("xcp1", "[error||17 ||backtrace] 1/3 xapi Raised at file ocaml/xapi/xapi_host.ml, line 9"),
    }
    assert len(found) == 6
