"""Windows machines: NXLog Community Edition by syslog, Fluent Bit through Loki's push API."""

from collections.abc import Iterator

from appliance.sources.agents import fluent_bit_output
from appliance.sources.forwarder import Forwarder
from appliance.sources.recipe import Kind, Source, Variant

_BEFORE = """\
<Extension syslog>
    Module  xm_syslog
</Extension>

<Input eventlog>
    Module  im_msvistalog
</Input>

<Processor queue>
    Module   pm_buffer
    Type     Disk
    MaxSize  1048576
</Processor>
"""
_AFTER = """\

<Route forwarder>
    Path  eventlog => queue => forwarder
</Route>
"""
_PIPELINE = """\
service:
  flush: 1
  storage.path: C:\\ProgramData\\fluent-bit\\storage

pipeline:
  inputs:
    - name: winevtlog
      tag: windows
      channels: Application,System,Security
      interval_sec: 1
      db: C:\\ProgramData\\fluent-bit\\winevtlog.db
      storage.type: filesystem

  outputs:
"""
_CA_FILE = "C:\\ProgramData\\fluent-bit\\forwarder-ca.crt"


def _variants(at: Forwarder) -> Iterator[Variant]:
    where = "C:\\Program Files\\nxlog\\conf\\nxlog.conf"
    if at.tls is not None:
        output = (
            "<Output forwarder>",
            "    Module          om_ssl",
            f"    Host            {at.name}",
            f"    Port            {at.tls}",
            "    CAFile          %ROOT%\\cert\\forwarder-ca.crt",
            *(
                ("    CertFile        %ROOT%\\cert\\client.crt", "    CertKeyFile     %ROOT%\\cert\\client.key")
                if at.wants_client_certificate
                else ()
            ),
            "    AllowUntrusted  FALSE",
            "    OutputType      Syslog_TLS",
            "    Exec            to_syslog_ietf();",
            "</Output>",
        )
        lines = (*_BEFORE.splitlines(), "", *output, *_AFTER.splitlines())
        yield Variant(f"NXLog over TLS: {where}", "tls", lines, "Put `appliance tls export-ca` into cert\\.", "xml")
    if at.tcp is not None:
        output = (
            "<Output forwarder>",
            "    Module          om_tcp",
            f"    Host            {at.address}",
            f"    Port            {at.tcp}",
            "    OutputType      Syslog_TLS",
            "    Exec            to_syslog_ietf();",
            "</Output>",
        )
        lines = (*_BEFORE.splitlines(), "", *output, *_AFTER.splitlines())
        note = "Syslog_TLS is NXLog's name for octet counting (RFC 5425's framing), over plain TCP, too."
        yield Variant(f"NXLog over TCP: {where}", "tcp", lines, note, "xml")
    if at.push is not None:
        labels = "job=windows, host=$Computer, application=$ProviderName"
        lines = (
            *_PIPELINE.splitlines(),
            *fluent_bit_output(at, "windows", labels, token="${FORWARDER_TOKEN}", ca_file=_CA_FILE),
            "      line_format: json",
        )
        yield Variant("Fluent Bit: C:\\Program Files\\fluent-bit\\conf\\fluent-bit.yaml", "push", lines, "", "yaml")


KIND = Kind(
    name="windows",
    title="Windows",
    summary="Windows has no syslog of its own: NXLog sends the event log as RFC 5424, Fluent Bit as JSON lines.",
    transports=("tls", "tcp", "push"),
    variants=_variants,
    check=(
        "eventcreate /T INFORMATION /ID 100 /L APPLICATION /SO forwarder-test /D hello; then here `appliance status`.",
    ),
    traps=(
        "The Security channel needs the service to run as LocalSystem, which is its default.",
        "Logon events of a domain controller are many: NXLog's Query or Fluent Bit's event_query chooses.",
        "NXLog 5 and later (Enterprise) write Host address:port on one line instead of Port.",
    ),
    sources=(
        Source("https://docs.nxlog.co/refman/current/xm/syslog.html (to_syslog_ietf, Syslog_TLS)", "2025-10"),
        Source("https://docs.nxlog.co/refman/current/pm/buffer.html", "2025-10"),
        Source("fluent/fluent-bit-docs, pipeline/inputs/windows-event-log-winevtlog.md", "2026-08"),
    ),
)
