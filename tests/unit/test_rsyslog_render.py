"""rsyslog.conf from the configuration: what is on is there and loads, what is off is absent, no value breaks out."""

import itertools
import re
from pathlib import Path

import msgspec
import pytest
import trustme

from appliance.config import model
from appliance.config.units import Endpoint, Size
from appliance.errors import ApplianceError
from appliance.host.rsyslog import check, render
from appliance.host.rsyslog.render import HandoverFiles, Paths, quote
from appliance.host.system.complete import complete
from tests.harness.processes import ROOT
from tests.harness.rsyslog import configuration, listeners

INPUTS = {"udp": "imudp", "tls": "imtcp", "relp": "imrelp", "relp_tls": "imrelp"}


@pytest.fixture(scope="module")
def server_tls(tmp_path_factory: pytest.TempPathFactory) -> model.ServerTls:
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(directory / "ca.crt")
    certificate.private_key_pem.write_to_path(directory / "server.key")
    certificate.cert_chain_pems[0].write_to_path(directory / "server.crt")
    return model.ServerTls(
        cert_file=str(directory / "server.crt"),
        key_file=str(directory / "server.key"),
        ca_file=str(directory / "ca.crt"),
    )


def rendered(config: model.Config, directory: Path) -> str:
    paths = Paths(
        work=str(directory), statistics=str(directory / "stats.json"), handover=str(directory), gates=str(directory)
    )
    return render(config, paths=paths)


def inputs(text: str) -> set[str]:
    return set(re.findall(r'^input\(type="\w+" name="(\w+)"', text, re.MULTILINE))


@pytest.mark.parametrize(
    "names",
    [c for n in (0, 1, 2, 4) for c in itertools.combinations(INPUTS, n)],
    ids=lambda names: "+".join(names) or "-",
)
def test_what_is_configured_is_there_and_nothing_else(
    names: tuple[str, ...], tmp_path: Path, server_tls: model.ServerTls
) -> None:
    text = rendered(configuration(listeners(*names, tls=server_tls)), tmp_path)
    assert inputs(text) == set(names)
    assert "imjournal" not in re.sub("#.*", "", text)
    for module in set(INPUTS.values()):
        assert (f'module(load="{module}"' in text) == any(INPUTS[name] == module for name in names)
    if len(names) in (1, 4):
        check(text)


@pytest.mark.parametrize("client_certificates", ["none", "ca", "names"])
def test_rsyslogd_loads_it_whole(client_certificates: str, tmp_path: Path, server_tls: model.ServerTls) -> None:
    tls = msgspec.structs.replace(
        server_tls, client_certificates=client_certificates, permitted_names=["a.example.org", "*.example.net"]
    )
    everything = listeners(*INPUTS, "journal", tls=tls)
    check(rendered(configuration(everything), tmp_path))


def test_the_default_listeners_use_the_ports_of_syslog(tmp_path: Path, server_tls: model.ServerTls) -> None:
    listen = model.Listeners(
        udp=model.UdpListener(),
        tcp=model.TcpListener(),
        tls=model.TlsListener(tls=server_tls),
    )
    text = rendered(configuration(listen), tmp_path)
    assert re.findall(r'^input\(.*? port="(\d+)"', text, re.MULTILINE) == ["514", "6514"]  # plain TCP is the receiver's
    assert " address=" not in text
    check(text)


def test_settings_reach_rsyslog_in_its_own_units(tmp_path: Path, server_tls: model.ServerTls) -> None:
    listen = model.Listeners(
        udp=model.UdpListener(port=1514, address="::1", receive_buffer=Size.parse("8MiB")),
        tls=model.TlsListener(port=1601, address="127.0.0.1", max_connections=77, tls=server_tls),
        journal=False,
        queue=model.Queue(memory_messages=50000, max_disk=Size.parse("3GiB")),
    )
    text = rendered(configuration(listen), tmp_path)
    assert 'name="udp" port="1514" address="::1" rcvbufSize="8388608"' in text
    assert 'maxSessions="77"' in text
    assert 'queue.size="50000"' in text
    # Half of the disk's share, in files of which some are prepared ahead.
    file = 3 * 2**30 // 2 // 32
    assert f'rotation.sizeLimit="{file}"' in text
    assert re.search(rf'rotate-handover \d+ 32 {tmp_path}/rsyslog {tmp_path}/rsyslog"', text)
    assert 'rateLimit.interval="0"' in text
    check(text)


@pytest.mark.parametrize("max_disk", ["1MiB", "16MiB", "2GiB", "1TiB"])
@pytest.mark.parametrize("max_message", ["8KiB", "256KiB", "1MiB"])
def test_what_is_in_hand_when_the_gate_shuts_fits_into_the_file_that_is_prepared(
    max_disk: str, max_message: str
) -> None:
    longest = int(Size.parse(max_message)) + 8192
    files = HandoverFiles("rsyslog", Paths(), int(Size.parse(max_disk)) // 2, longest)
    assert files.batch >= 1
    assert files.batch == 1 or files.batch * longest <= files.full_at
    assert files.full_at + 256 * 1024 + longest < files.reserved


def test_the_template_is_short_and_reads_nothing_in_a_message() -> None:
    lines = (ROOT / "appliance/host/rsyslog/rsyslog.conf.j2").read_text().splitlines()
    assert len(lines) <= 180
    assert max(map(len, lines)) <= 140
    assert not [line for line in lines if "re_match" in line]
    # What is cut out of the journal's names is no message.
    assert all(
        "$hostname" in line or "$app-name" in line or "$procid" in line for line in lines if "re_extract" in line
    )


def test_no_setting_moves_where_rsyslog_hands_over() -> None:
    everything = listeners("udp", "relp")
    moved = msgspec.structs.replace(everything, queue=model.Queue(path="/elsewhere"))
    for relay in (model.Relay(), model.Relay(listen=model.Listen(relp=Endpoint("127.0.0.1:99"), handover="/x"))):
        for listen in (everything, moved):
            config = model.Config(loki=model.Loki(url="http://127.0.0.1"), listeners=listen, relay=relay)
            assert 'file="/var/lib/appliance/handover/rsyslog/current"' in render(config)
            assert complete(config).relay.listen.handover == "/var/lib/appliance/handover"


def test_names_are_needed_where_only_names_are_permitted(tmp_path: Path, server_tls: model.ServerTls) -> None:
    tls = msgspec.structs.replace(server_tls, client_certificates="names", permitted_names=[])
    with pytest.raises(ApplianceError, match="no name is permitted"):
        render(configuration(listeners("tls", tls=tls)))


@pytest.mark.parametrize(
    "value",
    [
        'x") module(load="imfile',
        "x' stop '",
        "x\\",
        'x\\" $!y',
        "`id`",
        "%rawmsg%",
        "{{ 7 * 7 }}",
        "a b # c",
        "é\u2028",
    ],
)
def test_no_value_breaks_out_of_its_string(value: str, tmp_path: Path, server_tls: model.ServerTls) -> None:
    tls = msgspec.structs.replace(server_tls, client_certificates="names", permitted_names=["a", value, "b"])
    for key in ("cert_file", "key_file", "ca_file"):
        file = tmp_path / value / key
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(Path(getattr(server_tls, key)).read_bytes())
        tls = msgspec.structs.replace(tls, **{key: str(file)})
    text = rendered(configuration(listeners("udp", "tls", "relp_tls", tls=tls)), tmp_path)
    assert inputs(text) == {"udp", "tls", "relp_tls"}
    check(text)  # every string ends where it should, and the files of RELP are found under their names


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "a\rb", "\x1b[0m"])
def test_control_characters_are_refused(value: str) -> None:
    with pytest.raises(ApplianceError, match="cannot stand"):
        quote(value)


def test_rsyslogds_own_reason_is_told(tmp_path: Path) -> None:
    text = rendered(configuration(listeners("udp")), tmp_path)
    with pytest.raises(ApplianceError) as raised:
        check(text.replace('type="imudp"', 'type="imudpp"'))
    assert "imudpp" in raised.value.message
    missing = rendered(configuration(listeners("udp", "relp_tls")), tmp_path)
    with pytest.raises(ApplianceError, match=r"/etc/appliance/tls/server\.crt"):
        check(missing)


def test_a_missing_rsyslogd_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as raised:
        check("", rsyslogd="rsyslogd-that-is-not-there")
    assert "install" in raised.value.hint
