"""Each kind of input, by a real rsyslogd: framing, TLS and who may connect, RELP, the journal."""

import shutil
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.config import model
from appliance.config.units import Size
from tests.harness.certificates import Certificates
from tests.harness.handover_sink import HandoverSink, Record
from tests.harness.net import wait_until
from tests.harness.relp_client import RelpClient
from tests.harness.rsyslog import ROTATE, ApplianceRsyslog, listeners
from tests.harness.senders import octet_counted, send_tcp, send_udp

HEAD = b"<30>1 2026-11-23T10:00:00Z h app 1 - - "
Start = Callable[..., tuple[ApplianceRsyslog, HandoverSink]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(*listener_names, tls=…) -> (rsyslogd, a reader of what it hands over)."""
    with ExitStack() as stack:

        def begin(
            *names: str, tls: model.ServerTls | None = None, **relay: Any
        ) -> tuple[ApplianceRsyslog, HandoverSink]:
            rsyslog = ApplianceRsyslog(tmp_path / "rsyslog", listeners(*names, tls=tls), tmp_path / "handover", **relay)
            stack.callback(rsyslog.close)
            return rsyslog.ready(), HandoverSink(tmp_path / "handover")

        yield begin


def arrived(sink: HandoverSink, count: int, rsyslog: ApplianceRsyslog) -> list[Record]:
    """Exactly `count` records, once nothing more comes."""
    wait_until(lambda: len(sink.records) >= count, what=lambda: f"{sink.records}\n{rsyslog.output}")
    time.sleep(0.05)
    assert len(sink.records) == count
    return sink.parsed()


def test_tls_takes_octet_counted_and_lf_frames_of_one_connection(start: Start, certificates: Certificates) -> None:
    rsyslog, sink = start("tls", tls=certificates.wanting("none"))
    assert rsyslog.listen.tls
    stream = (
        octet_counted([HEAD + b"one", HEAD + b"two\nlines", b"<30>Nov 23 10:00:00 h p: three\r\n"])
        + HEAD
        + b"four\n"
        + b"<30>Nov 23 10:00:00 h p[2]: five\r\n"
        + octet_counted([HEAD + b"six"])
        + HEAD
        + b"seven\n"
    )
    with socket.create_connection(("127.0.0.1", rsyslog.listen.tls.port)) as plain:
        with certificates.client().wrap_socket(plain, server_hostname="localhost") as sender:
            for at in range(0, len(stream), 7):  # in pieces: a frame ends where it ends, not where a segment does
                sender.sendall(stream[at : at + 7])
            records = arrived(sink, 7, rsyslog)
    assert sorted(record.text for record in records) == sorted(
        [b"one", b"two\nlines", b"three", b"four", b"five", b"six", b"seven"]
    )
    assert {(record.input, record.sender) for record in records} == {("tls", "127.0.0.1")}


def test_a_message_of_64_kib_arrives_whole_and_one_beyond_the_limit_costs_only_itself(
    start: Start, certificates: Certificates
) -> None:
    limits = model.Connections(max_message=Size(100 * 1024))
    rsyslog, sink = start("tls", "relp", tls=certificates.wanting("none"), connections=limits)
    assert rsyslog.listen.tls and rsyslog.listen.relp
    tls = certificates.client()
    long, longer = b"a" * 65536, b"b" * 150_000
    send_tcp(rsyslog.listen.tls.port, octet_counted([HEAD + long, HEAD + longer, HEAD + b"after"]), tls=tls)
    send_tcp(rsyslog.listen.tls.port, HEAD + long + b"\n" + HEAD + b"after lf\n", tls=tls)
    with closing(RelpClient(rsyslog.listen.relp.port)) as client:
        client.send([HEAD + long, HEAD + longer, HEAD + b"after relp"])
    wait_until(lambda: len(sink.records) >= 8, what=lambda: (len(sink.records), rsyslog.output[-2000:]))
    texts = [record.text for record in sink.parsed() if record.app == "app"]
    assert texts.count(long) == 3
    assert {b"after", b"after lf", b"after relp"} <= set(texts)
    cut = [text for text in texts if text.startswith(b"b")]
    # Longer than the relay takes, so that the relay sees that it is cut, and says so.
    assert len(cut) == 2
    assert all(100 * 1024 < len(text) < 120 * 1024 and not text.strip(b"b") for text in cut)


@pytest.mark.parametrize("name", ["udp", "tls", "relp", "relp_tls"])
def test_a_message_as_long_as_can_be_arrives_whole_by_every_input(
    start: Start, certificates: Certificates, name: str
) -> None:
    rsyslog, sink = start(name, tls=certificates.wanting("none"))
    # A datagram holds no more than 65,507 bytes.
    text = bytes(range(33, 127)) * 700
    text = text[: 65507 - len(HEAD) if name == "udp" else 65536]
    port = getattr(rsyslog.listen, name).port
    if name == "udp":
        send_udp(port, [HEAD + text])
    elif name.startswith("relp"):
        with closing(RelpClient(port, tls=certificates.client() if name == "relp_tls" else None)) as client:
            client.send([HEAD + text])
    else:
        send_tcp(port, octet_counted([HEAD + text]), tls=certificates.client() if name == "tls" else None)
    [record] = arrived(sink, 1, rsyslog)
    assert record.text == text
    assert record.input == name


def test_a_broken_frame_does_not_close_the_connection(start: Start, certificates: Certificates) -> None:
    rsyslog, sink = start("tls", tls=certificates.wanting("none"))
    assert rsyslog.listen.tls
    with socket.create_connection(("127.0.0.1", rsyslog.listen.tls.port)) as plain:
        with certificates.client().wrap_socket(plain, server_hostname="localhost") as sender:
            sender.sendall(b"not syslog at all\n<<<>>>\n\xff\xfe\xfd\n" + HEAD + b"good\n")
            records = arrived(sink, 4, rsyslog)
    assert [record.text for record in records if record.app == "app"] == [b"good"]
    assert {record.text for record in records if "unparsed" in record.words} == {
        b"not syslog at all",
        b"<<<>>>",
        b"\xff\xfe\xfd",
    }


def test_connections_over_the_limit_are_refused_and_those_within_go_on(
    tmp_path: Path, certificates: Certificates
) -> None:
    listen = listeners("tls", tls=certificates.wanting("none"))
    assert listen.tls
    limited = msgspec.structs.replace(listen.tls, max_connections=3)
    listen = msgspec.structs.replace(listen, tls=limited)
    rsyslog = ApplianceRsyslog(tmp_path / "r", listen, tmp_path / "handover").ready()
    time.sleep(0.3)  # the probe of ready() is gone
    try:
        with ExitStack() as stack:
            plain = [stack.enter_context(socket.create_connection(("127.0.0.1", limited.port))) for _ in range(6)]
            time.sleep(0.3)
            for number, connection in enumerate(plain):
                try:
                    sender = certificates.client().wrap_socket(connection, server_hostname="localhost")
                    stack.enter_context(sender)
                    sender.sendall(HEAD + b"%d\n" % number)
                except OSError:
                    assert number >= 3
            records = arrived(HandoverSink(tmp_path / "handover"), 3, rsyslog)
            assert {record.text for record in records} == {b"0", b"1", b"2"}
    finally:
        rsyslog.close()


# ---- TLS ------------------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


def try_tls(port: int, context: ssl.SSLContext, text: bytes) -> None:
    """Send one message; a refusal may show at the handshake, when writing, or not at all."""
    try:
        send_tcp(port, octet_counted([HEAD + text]), tls=context)
    except (OSError, ssl.SSLError):
        return


def accepts(sink: HandoverSink, port: int, good: list[ssl.SSLContext], bad: list[ssl.SSLContext]) -> None:
    """The good clients' messages arrive, the bad ones' do not."""
    for context in bad:
        try_tls(port, context, b"bad")
    for number, context in enumerate(good):
        send_tcp(port, octet_counted([HEAD + b"good %d" % number]), tls=context)
    wait_until(lambda: len(sink.records) >= len(good), what=lambda: sink.records)
    time.sleep(0.2)
    assert {record.text for record in sink.parsed()} == {b"good %d" % number for number in range(len(good))}


def test_tls_with_the_servers_certificate_takes_anyone_who_trusts_it(start: Start, certificates: Certificates) -> None:
    rsyslog, sink = start("tls", tls=certificates.wanting("none"))
    assert rsyslog.listen.tls
    port = rsyslog.listen.tls.port
    with pytest.raises(ssl.SSLCertVerificationError):
        send_tcp(port, b"", tls=ssl.create_default_context())
    old = certificates.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    try_tls(port, old, b"over TLS 1.1")
    send_tcp(port, octet_counted([HEAD + b"octets\ntwo"]) + HEAD + b"lf\n", tls=certificates.client())
    records = arrived(sink, 2, rsyslog)
    assert {record.text for record in records} == {b"octets\ntwo", b"lf"}
    assert {(record.input, record.sender) for record in records} == {("tls", "127.0.0.1")}


def test_tls_with_client_certificates_takes_those_of_the_authority_only(
    start: Start, certificates: Certificates
) -> None:
    rsyslog, sink = start("tls", tls=certificates.wanting("ca"))
    assert rsyslog.listen.tls
    accepts(
        sink,
        rsyslog.listen.tls.port,
        good=[certificates.client("any.example.org")],
        bad=[certificates.client(), certificates.client("any.example.org", by=certificates.stranger)],
    )


def test_tls_with_permitted_names_takes_those_names_only(start: Start, certificates: Certificates) -> None:
    rsyslog, sink = start("tls", tls=certificates.wanting("names", "router.example.org", "*.nas.example.org"))
    assert rsyslog.listen.tls
    accepts(
        sink,
        rsyslog.listen.tls.port,
        good=[certificates.client("router.example.org"), certificates.client("a.nas.example.org")],
        bad=[
            certificates.client("other.example.org"),
            certificates.client("router.example.org", by=certificates.stranger),
            certificates.client(),
        ],
    )


# ---- RELP -----------------------------------------------------------------------------------------


def test_relp_messages_arrive_once_each(start: Start) -> None:
    rsyslog, sink = start("relp")
    assert rsyslog.listen.relp
    with closing(RelpClient(rsyslog.listen.relp.port)) as client:
        client.send([HEAD + b"%d\nline" % number for number in range(500)])
    records = arrived(sink, 500, rsyslog)
    assert {record.text for record in records} == {b"%d\nline" % number for number in range(500)}
    assert {(record.input, record.sender) for record in records} == {("relp", "127.0.0.1")}


@pytest.mark.parametrize("wanted", ["none", "ca", "names"])
def test_relp_over_tls_from_another_rsyslog(
    wanted: str, start: Start, certificates: Certificates, tmp_path: Path
) -> None:
    rsyslog, sink = start("relp_tls", tls=certificates.wanting(wanted, *(["router.example.org"] * (wanted == "names"))))
    assert rsyslog.listen.relp_tls
    names = {"good": "router.example.org", "other": "other.example.org", "stranger": "router.example.org"}
    for name, certificate_name in names.items():
        authority = certificates.stranger if name == "stranger" else certificates.authority
        certificate = authority.issue_cert(certificate_name, common_name=certificate_name)
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
        config = tmp_path / f"{name}.conf"
        config.write_text(
            f"""
module(load="omrelp" tls.tlslib="openssl") module(load="imuxsock" sysSock.use="off")
input(type="imuxsock" socket="{tmp_path}/{name}.sock")
action(type="omrelp" target="127.0.0.1" port="{rsyslog.listen.relp_tls.port}" template="RSYSLOG_SyslogProtocol23Format"
    tls="on" tls.caCert="{certificates.server.ca_file}" tls.myCert="{tmp_path}/{name}.crt"
    tls.myPrivKey="{tmp_path}/{name}.key" tls.authMode="name" tls.permittedPeer=["localhost"]
    action.resumeRetryCount="0")
"""
        )
        sender = subprocess.Popen(
            ["rsyslogd", "-n", "-f", str(config), "-i", str(tmp_path / f"{name}.pid")], stderr=subprocess.DEVNULL
        )
        try:
            path = str(tmp_path / f"{name}.sock")
            wait_until(lambda path=path: Path(path).exists())  # type: ignore[misc]
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
                local.connect(path)
                local.send(b"<30>Nov 23 10:00:00 prog: from " + name.encode())
            if name == "good":
                wait_until(lambda: sink.records, what=lambda: rsyslog.output)
            else:
                time.sleep(0.6)
        finally:
            sender.terminate()
            sender.wait(10)
    permitted = {"none": {b"good", b"other", b"stranger"}, "ca": {b"good", b"other"}, "names": {b"good"}}[wanted]
    came = {record.text.strip().removeprefix(b"from ") for record in sink.parsed() if record.app == "prog"}
    assert came == permitted
    assert {record.input for record in sink.parsed()} == {"relp_tls"}


# ---- the journal ----------------------------------------------------------------------------------

IN_ITS_OWN_JOURNAL = r"""
set -e
for directory in /run/systemd /run/log /var/log; do mkdir -p $directory; mount -t tmpfs none $directory; done
mkdir -p /run/systemd/journal /run/log/journal
[ -e /dev/kmsg ] && mount --bind /dev/null /dev/kmsg
/lib/systemd/systemd-journald & journald=$!
trap 'kill $journald' EXIT
while [ ! -S /run/systemd/journal/stdout ]; do sleep 0.05; done
echo "first line" | systemd-cat -t "one word" -p warning
"$PYTHON" - <<'END'
import socket
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.connect("/run/systemd/journal/socket")
text = "two\nlines\tof caf\u00e9".encode()
journal.send(b"SYSLOG_IDENTIFIER=multi\nPRIORITY=3\nSYSLOG_FACILITY=4\nSYSLOG_PID=77\nMESSAGE\n"
             + len(text).to_bytes(8, "little") + text + b"\n")
journal.send(b"SYSLOG_IDENTIFIER=rsyslogd\nMESSAGE=rsyslog about itself\n")
name = b"forged\n1.000000 10.9.9.9 udp <30>1 - host app - - - a record of its own"
journal.send(b"SYSLOG_IDENTIFIER\n" + len(name).to_bytes(8, "little") + name + b"\nMESSAGE=by a forger\n")
END
# journald knows a sender's unit from its control group, which is made up here.
as_unit() {
    printf '1:name=systemd:/system.slice/%s\n0::/system.slice/%s\n' "$1" "$1" > "/run/systemd/cgroup.$1"
    mkfifo "/run/systemd/go.$1"
    sh -c 'read go < "/run/systemd/go.$1"; exec "$PYTHON" -c "$2" "$1"' sh "$1" '
import socket, sys, time
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.connect("/run/systemd/journal/socket")
journal.send(f"SYSLOG_IDENTIFIER=appliance\nMESSAGE=said by {sys.argv[1]}\n".encode())
time.sleep(0.5)' &
    sender=$!
    mount --bind "/run/systemd/cgroup.$1" /proc/$sender/cgroup
    echo > "/run/systemd/go.$1"
    wait $sender
}
as_unit appliance-relay.service
as_unit rsyslog.service
as_unit ssh.service
run() {
    "$ROTATE" start "$1"
    LC_ALL=C rsyslogd -n -iNONE -f "$1" & rsyslogd=$!
    sleep "$2"; kill $rsyslogd; wait $rsyslogd || true
}
run "$CONFIG" 2
echo "while away" | systemd-cat -t later
sleep 0.2
run "$CONFIG" 2
"""


def test_the_journal_arrives_once_across_a_restart_and_neither_rsyslog_nor_the_relay_feed_themselves(
    tmp_path: Path,
) -> None:
    assert shutil.which("unshare"), "util-linux is needed"
    rsyslog = ApplianceRsyslog(tmp_path / "r", listeners("journal"), tmp_path / "handover")
    subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", IN_ITS_OWN_JOURNAL],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHON": shutil.which("python3") or "python3",
            "CONFIG": str(rsyslog.config_file),
            "ROTATE": str(ROTATE),
        },
        check=True,
        timeout=60,
        capture_output=True,
    )
    sink = HandoverSink(tmp_path / "handover", "journal")
    records = [record for record in sink.parsed() if record.app != "systemd-journald"]
    assert [(record.app, record.text) for record in records] == [
        ("one", b"first line"),
        ("multi", "two\nlines\tof café".encode()),
        ("forged", b"by a forger"),
        ("appliance", b"said by ssh.service"),
        ("later", b"while away"),
    ]
    assert {(record.input, record.has_zone, record.words) for record in records} == {("journal", True, ())}
    assert (records[0].pri, records[1].pri, records[1].process) == (12, 35, "77")
    assert {record.host for record in records} == {socket.gethostname()}
    assert abs(records[0].received - time.time()) < 60
