"""What to paste into each kind of device. Pure: a forwarder in, a recipe out.

Versions differ in ways that lose logs when ignored; each variant says which versions it is for.
"""

from collections.abc import Callable

from appliance.sources.recipe import Forwarder, Recipe, Variant

_UDP = "listeners: {udp: {}}"
_TCP = "listeners: {tcp: {}}"
_TLS = "listeners: {tls: {}}"
_PUSH = "relay: {listen: {push: '0.0.0.0:3500'}}"


def vyos(at: Forwarder) -> Recipe:
    variants: list[Variant] = []
    lines: tuple[str, ...]
    for title, word, note in (
        ("VyOS 1.5 and rolling since January 2025 (`remote`)", "remote", ""),
        (
            "VyOS 1.4 (`host`)", "host",
            "Rolling builds of October and November 2024 sent nothing by TCP without octet-counted: keep that line.",
        ),
    ):  # fmt: skip
        base = f"set system syslog {word} {at.address}"
        if at.tcp is not None:
            lines = (
                "configure",
                f"{base} facility all level info",
                f"{base} port {at.tcp}",
                f"{base} protocol tcp",
                f"{base} format octet-counted",
                "commit", "save", "exit",
            )  # fmt: skip
            variants.append(Variant(f"{title}, by TCP: time stamps with zone, whole messages", lines, note))
        if at.tls is not None and word == "remote":
            lines = (
                "configure",
                "# on the forwarder: appliance tls export-ca | grep -v CERTIFICATE | tr -d '\\n'",
                "set pki ca FORWARDER certificate '<what that printed>'",
                f"{base} facility all level info",
                f"{base} port {at.tls}",
                f"{base} protocol tcp",
                f"{base} format octet-counted",
                f"{base} tls ca-certificate FORWARDER",
                f"{base} tls auth-mode certvalid",
                "commit", "save", "exit",
            )  # fmt: skip
            variants.append(Variant("VyOS builds since September 2025, by TLS", lines))
        if at.tcp is None and at.udp is not None:
            lines = (
                "configure",
                f"{base} facility all level info",
                *((f"{base} port {at.udp}",) if at.udp != 514 else ()),
                "commit", "save", "exit",
            )  # fmt: skip
            variants.append(Variant(f"{title}, by UDP", lines))
    if at.tcp is not None or at.udp is not None:
        port = at.tcp or at.udp
        protocol = "tcp" if at.tcp is not None else "udp"
        base = f"set system syslog host {at.address}"
        lines = (
            "configure", f"{base} facility all level info", f"{base} facility all protocol {protocol}",
            f"{base} port {port}", "commit", "save", "exit",
        )  # fmt: skip
        variants.append(Variant("VyOS 1.3", lines))
    missing = () if variants else (f"{_TCP}   # VyOS sends by TCP with time zones, by UDP without",)
    notes: tuple[str, ...] = ("`show log tail` on the router and `appliance status` here show whether it arrives.",)
    if at.tcp is None and at.udp is not None:
        notes += (f"By UDP, VyOS sends no time zone and nothing tells of losses: better switch on {_TCP}.",)
    return Recipe(
        "vyos", "VyOS runs rsyslog; by TCP with octet counting it sends RFC 5424.", tuple(variants), missing, notes
    )


def xcp_ng(at: Forwarder) -> Recipe:
    variants: tuple[Variant, ...] = ()
    if at.udp is not None:
        target = at.address if at.udp == 514 else f"{at.host}:{at.udp}"
        each = (
            "for uuid in $(xe host-list --minimal | tr ',' ' '); do",
            f"    xe host-param-set uuid=$uuid logging:syslog_destination={target}",
            "    xe host-syslog-reconfigure host-uuid=$uuid",
            "done",
        )
        off = (
            "xe host-param-remove uuid=<host uuid> param-name=logging param-key=syslog_destination",
            "xe host-syslog-reconfigure host-uuid=<host uuid>",
        )
        xo = (f"Pool or host > Advanced > Remote syslog: {target}",)
        variants = (
            Variant("All hosts of the pool, on any of them", each),
            Variant("Xen Orchestra", xo),
            Variant("Switch it off again", off),
        )
    notes: tuple[str, ...] = (
        "xapi is talkative: drop its debug lines with labels.relabel_configs or read less of them in Grafana.",
        "Its time stamps bear no zone: hosts that do not run in UTC need an entry in relay.time.senders.",
        f"Xen Orchestra itself, in its config.toml: [logs.transport.syslog] target = 'tcp://{at.host}:{at.tcp or 514}'",
    )
    if at.udp not in (None, 514):
        notes += ("Another port than 514 follows from how hosts write rsyslog's file; port 514 is the tried way.",)
    missing = () if at.udp is not None else (f"{_UDP}   # XCP-ng hosts send by UDP only",)
    return Recipe("xcp-ng", "XCP-ng hosts send classic syslog by UDP, port 514.", variants, missing, notes)


def truenas(at: Forwarder) -> Recipe:
    variants = []
    where = "System > Advanced Settings > Syslog"
    if at.tls is not None:
        client = " and the client certificate of `appliance tls issue-client`" if at.wants_client_certificate else ""
        variants.append(
            Variant(
                "TrueNAS 25.10 and later, by TLS",
                (
                    f"Credentials > Certificates: import `appliance tls export-ca` as a trusted authority{client}",
                    f"{where}: Syslog Server {at.name}:{at.tls}, Transport TLS",
                ),
                "The address has to be a name or address of our certificate: `appliance tls show` lists them.",
            )
        )
        variants.append(
            Variant(
                "TrueNAS 24.10 and 25.04, by TLS",
                (f"{where}: Syslog Server {at.name}:{at.tls}, Syslog Transport TLS, its certificate authority: ours",),
                "These versions take port 514 when none is given: keep the port in the field.",
            )
        )
    for protocol, port in (("TCP", at.tcp), ("UDP", at.udp)):
        if port is not None:
            variants.append(
                Variant(
                    f"Any version, by {protocol}",
                    (f"{where}: Syslog Server {at.host}:{port}, Syslog Transport {protocol}, Syslog Level Info",),
                    "CORE and SCALE up to 24.04 send RFC 3164, later ones RFC 5424: both are understood.",
                )
            )
    notes = ("Audit lines (TNAUDIT_*) come only with `Include Audit Logs` on.",)
    missing = () if variants else (f"{_TLS}   # or {_TCP}",)
    return Recipe("truenas", "TrueNAS sends by UDP, TCP or TLS.", tuple(variants), missing, notes)


def linux(at: Forwarder) -> Recipe:
    variants: list[Variant] = []
    lines: tuple[str, ...]
    queue = (
        '       queue.type="LinkedList" queue.filename="forwarder" queue.maxDiskSpace="1g"',
        '       queue.saveOnShutdown="on" action.resumeRetryCount="-1")',
    )
    file, restart = "/etc/rsyslog.d/90-forwarder.conf", "systemctl restart rsyslog"
    if at.relp is not None:
        lines = (
            "apt-get install rsyslog-relp",
            f"cat > {file} <<'END'",
            'module(load="omrelp")',
            f'action(type="omrelp" target="{at.address}" port="{at.relp}"',
            '       template="RSYSLOG_SyslogProtocol23Format"',
            *queue, "END", restart,
        )  # fmt: skip
        variants.append(Variant("rsyslog by RELP: acknowledged, nothing is lost when either side restarts", lines))
    if at.tls is not None:
        certificate = (
            (
                'global(defaultNetstreamDriverCertFile="/etc/ssl/forwarder/client.crt"',
                '       defaultNetstreamDriverKeyFile="/etc/ssl/forwarder/client.key")',
            )
            if at.wants_client_certificate
            else ()
        )
        lines = (
            "apt-get install rsyslog-openssl",
            "# bring `appliance tls export-ca` here as /etc/ssl/forwarder-ca.crt",
            f"cat > {file} <<'END'",
            'global(defaultNetstreamDriverCAFile="/etc/ssl/forwarder-ca.crt")',
            *certificate,
            f'action(type="omfwd" target="{at.name}" port="{at.tls}" protocol="tcp" TCP_Framing="octet-counted"',
            '       StreamDriver="ossl" StreamDriverMode="1" StreamDriverAuthMode="x509/name"',
            f'       StreamDriverPermittedPeers="{at.name}" template="RSYSLOG_SyslogProtocol23Format"',
            *queue, "END", restart,
        )  # fmt: skip
        variants.append(Variant("rsyslog by TLS", lines))
    if at.tcp is not None:
        lines = (
            f"cat > {file} <<'END'",
            f'action(type="omfwd" target="{at.address}" port="{at.tcp}" protocol="tcp" TCP_Framing="octet-counted"',
            '       template="RSYSLOG_SyslogProtocol23Format"',
            *queue, "END", restart,
        )  # fmt: skip
        variants.append(
            Variant(
                "rsyslog by TCP", lines, "What is in flight when the connection breaks can be lost: RELP is better."
            )
        )
    if at.udp is not None and not variants:
        variants.append(Variant("rsyslog by UDP", (f"echo '*.* @{at.host}:{at.udp}' > {file}", restart)))
    if at.push is not None:
        variants.append(_alloy(at))
    missing = () if variants else (f"listeners: {{relp: {{}}}}   # or {_TLS} or {_TCP}",)
    return Recipe("linux", "Debian, Ubuntu and others: by rsyslog, which queues on disk.", tuple(variants), missing)


def _alloy(at: Forwarder) -> Variant:
    lines = (
        'loki.write "forwarder" {',
        "  endpoint {",
        f'    url = "http://{at.host}:{at.push}/loki/api/v1/push"',
        "  }",
        "}",
    )
    return Variant("Grafana Alloy, by Loki's push API", lines)


def kubernetes(at: Forwarder) -> Recipe:
    if at.push is None:
        missing = (f"{_PUSH}   # the Loki push API, for Promtail, Alloy and Fluent Bit",)
        return Recipe("kubernetes", "Agents in the cluster push as they would to Loki.", (), missing)
    url = f"http://{at.host}:{at.push}/loki/api/v1/push"
    helm = (
        "helm upgrade --install promtail grafana/promtail --namespace monitoring --reuse-values \\",
        f"    --set 'config.clients[0].url={url}'",
    )
    fluent = (
        "[OUTPUT]", "    name loki", "    match *", f"    host {at.address}", f"    port {at.push}",
        "    labels job=kubernetes", "    auto_kubernetes_labels off",
    )  # fmt: skip
    return Recipe(
        "kubernetes",
        "Agents in the cluster push as they would to Loki.",
        (
            _alloy(at),
            Variant("Fluent Bit", fluent),
            Variant(
                "Promtail, in its configuration", ("clients:", f"  - url: {url}"),
                "Unmaintained since March 2026: `alloy convert --source-format=promtail` converts its file for Alloy.",
            ),
            Variant("Promtail by Helm", helm),
        ),
        notes=("Labels of the agents are kept as they are; the guard on streams counts them too.",),
    )  # fmt: skip


RECIPES: dict[str, Callable[[Forwarder], Recipe]] = {
    "vyos": vyos,
    "xcp-ng": xcp_ng,
    "truenas": truenas,
    "linux": linux,
    "kubernetes": kubernetes,
}
