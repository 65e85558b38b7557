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
from appliance.host.rsyslog.render import Paths, quote
from tests.harness.rsyslog import configuration, listeners

INPUTS = {"udp": "imudp", "tcp": "imptcp", "tls": "imtcp", "relp": "imrelp", "relp_tls": "imrelp"}


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
    return render(config, paths=Paths(work=str(directory), statistics=str(directory / "stats.json")))


def inputs(text: str) -> set[str]:
    return set(re.findall(r'^input\(type="\w+" name="(\w+)"', text, re.MULTILINE))


@pytest.mark.parametrize(
    "names",
    [c for n in (0, 1, 2, 5) for c in itertools.combinations(INPUTS, n)],
    ids=lambda names: "+".join(names) or "-",
)
def test_what_is_configured_is_there_and_nothing_else(
    names: tuple[str, ...], tmp_path: Path, server_tls: model.ServerTls
) -> None:
    text = rendered(configuration(listeners(*names, queue=tmp_path, tls=server_tls), 2514), tmp_path)
    assert inputs(text) == set(names)
    assert "imjournal" not in re.sub("#.*", "", text)
    for module in set(INPUTS.values()):
        assert (f'module(load="{module}"' in text) == any(INPUTS[name] == module for name in names)
    if len(names) in (1, 5):
        check(text)


@pytest.mark.parametrize("client_certificates", ["none", "ca", "names"])
def test_rsyslogd_loads_it_whole(client_certificates: str, tmp_path: Path, server_tls: model.ServerTls) -> None:
    tls = msgspec.structs.replace(
        server_tls, client_certificates=client_certificates, permitted_names=["a.example.org", "*.example.net"]
    )
    everything = listeners(*INPUTS, "journal", queue=tmp_path, tls=tls)
    check(rendered(configuration(everything, 2514), tmp_path))


def test_the_default_listeners_use_the_ports_of_syslog(tmp_path: Path, server_tls: model.ServerTls) -> None:
    listen = model.Listeners(
        udp=model.UdpListener(),
        tcp=model.TcpListener(),
        tls=model.TlsListener(tls=server_tls),
        queue=model.Queue(path=str(tmp_path)),
    )
    text = rendered(configuration(listen, 2514), tmp_path)
    assert re.findall(r'^input\(.*? port="(\d+)"', text, re.MULTILINE) == ["514", "514", "6514"]
    assert " address=" not in text
    check(text)


def test_settings_reach_rsyslog_in_its_own_units(tmp_path: Path) -> None:
    listen = model.Listeners(
        udp=model.UdpListener(port=1514, address="::1", receive_buffer=Size.parse("8MiB")),
        tcp=model.TcpListener(port=1601, address="127.0.0.1", max_connections=77),
        journal=False,
        queue=model.Queue(path=str(tmp_path), memory_messages=50000, max_disk=Size.parse("3GiB")),
    )
    text = rendered(configuration(listen, 2514, relp_window=1234), tmp_path)
    assert 'name="udp" port="1514" address="::1" rcvbufSize="8388608"' in text
    assert 'maxSessions="77"' in text
    assert 'queue.size="50000"' in text
    assert f'queue.maxDiskSpace="{3 * 2**30}"' in text
    assert 'windowSize="1234"' in text
    assert 'rateLimit.interval="0"' in text
    check(text)


def test_the_relay_is_reached_where_it_listens_even_on_all_addresses(tmp_path: Path) -> None:
    config = configuration(listeners("udp", queue=tmp_path), 2514)
    assert 'target="127.0.0.1" port="2514"' in render(config)
    assert 'target="127.0.0.1" port="99"' in render(config, relp_target=Endpoint(":99"))
    assert 'target="::1" port="99"' in render(config, relp_target=Endpoint("[::]:99"))


def test_without_a_relay_to_hand_on_to_nothing_is_rendered() -> None:
    with pytest.raises(ApplianceError) as raised:
        render(model.Config(loki=model.Loki(url="http://127.0.0.1")))
    assert "relay.listen.relp" in raised.value.hint


def test_names_are_needed_where_only_names_are_permitted(tmp_path: Path, server_tls: model.ServerTls) -> None:
    tls = msgspec.structs.replace(server_tls, client_certificates="names", permitted_names=[])
    with pytest.raises(ApplianceError, match="no name is permitted"):
        render(configuration(listeners("tls", queue=tmp_path, tls=tls), 2514))


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
    text = rendered(
        configuration(listeners("udp", "tls", "relp_tls", queue=tmp_path / "queue", tls=tls), 2514), tmp_path
    )
    assert inputs(text) == {"udp", "tls", "relp_tls"}
    check(text)  # every string ends where it should, and the files of RELP are found under their names


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "a\rb", "\x1b[0m"])
def test_control_characters_are_refused(value: str) -> None:
    with pytest.raises(ApplianceError, match="cannot stand"):
        quote(value)


def test_rsyslogds_own_reason_is_told(tmp_path: Path) -> None:
    text = rendered(configuration(listeners("udp", queue=tmp_path), 2514), tmp_path)
    with pytest.raises(ApplianceError) as raised:
        check(text.replace('type="imudp"', 'type="imudpp"'))
    assert "imudpp" in raised.value.message
    missing = rendered(configuration(listeners("udp", "relp_tls", queue=tmp_path), 2514), tmp_path)
    with pytest.raises(ApplianceError, match=r"/etc/appliance/tls/server\.crt"):
        check(missing)


def test_a_missing_rsyslogd_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as raised:
        check("", rsyslogd="rsyslogd-that-is-not-there")
    assert "install" in raised.value.hint
