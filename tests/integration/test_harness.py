"""The tests' own senders are understood by a real rsyslogd: what they count can be relied on."""

from pathlib import Path

from tests.harness.net import free_port, wait_until
from tests.harness.processes import Process, Rsyslogd
from tests.harness.relp_client import RelpClient
from tests.harness.senders import lines, numbered, octet_counted, send_tcp, send_udp


def to_file(directory: Path, *, tcp: int, relp: int, udp: int) -> Rsyslogd:
    return Rsyslogd(
        directory,
        f"""
module(load="imtcp") module(load="imrelp") module(load="imudp")
template(name="text" type="string" string="%msg%\\n")
ruleset(name="all") {{ action(type="omfile" file="{directory}/out" template="text" asyncWriting="off") }}
input(type="imtcp" port="{tcp}" ruleset="all")
input(type="imudp" port="{udp}" address="127.0.0.1" ruleset="all")
input(type="imrelp" port="{relp}" ruleset="all")
""",
    )


def test_rsyslogd_understands_the_senders(tmp_path: Path, processes: list[Process]) -> None:
    tcp, relp, udp = free_port(), free_port(), free_port()
    rsyslogd = to_file(tmp_path / "rsyslog", tcp=tcp, relp=relp, udp=udp)
    processes.append(rsyslogd)
    rsyslogd.up(tcp, relp)
    client = RelpClient(relp, window=100)
    client.send(numbered(range(1000)))
    client.close()
    assert (client.acknowledged, client.resent, client.connections) == (1000, 0, 1)
    assert "librelp" in client.offers
    send_tcp(tcp, octet_counted(numbered(range(1000, 1100))))
    send_tcp(tcp, lines(numbered(range(1100, 1200))))
    send_udp(udp, numbered(range(1200, 1300)), pause=0.0005)
    out = tmp_path / "rsyslog" / "out"

    def arrived() -> bool:
        found = out.read_text().split("\n") if out.exists() else []
        return sorted(int(line.strip().removeprefix("n=")) for line in found if line) == list(range(1300))

    wait_until(arrived, 10)


def test_the_relp_client_sends_again_what_was_not_acknowledged(tmp_path: Path, processes: list[Process]) -> None:
    tcp, relp, udp = free_port(), free_port(), free_port()
    rsyslogd = to_file(tmp_path / "rsyslog", tcp=tcp, relp=relp, udp=udp)
    processes.append(rsyslogd)
    rsyslogd.up(tcp, relp)
    client = RelpClient(relp, window=50)
    client.send(numbered(range(10)))
    rsyslogd.kill()
    rsyslogd.up(tcp, relp)
    client.send(numbered(range(10, 20)))
    client.close()
    assert client.acknowledged == 20
    assert client.connections == 2
