"""Our own certificates: made when missing, renewed in time, issued to senders.

The key of the server's certificate stays over a renewal, so senders that pin it keep trusting it.
"""

from datetime import UTC, datetime, timedelta

from appliance.config.model import Config
from appliance.host.tls.issue import Pair, issue_client, issue_server, new_authority, new_key
from appliance.host.tls.store import TlsStore

RENEW_BEFORE = timedelta(days=45)  # before anybody is warned (30 days)


def server_names(config: Config, addresses: list[str]) -> list[str]:
    """Return what senders may call this machine: its name, short name, and its addresses."""
    system = config.system
    names = [system.hostname, system.hostname.partition(".")[0]]
    families = (system.network.ipv4, system.network.ipv6)
    static = [f.address.partition("/")[0] for f in families if f.method == "static" and f.address]
    return list(dict.fromkeys([*names, *static, *addresses]))


def ensure_own(
    store: TlsStore,
    config: Config,
    addresses: list[str],
    now: datetime | None = None,
    good_until: datetime | None = None,
) -> str:
    """Make what is missing, renew what ends soon or no longer fits. Return what was done, or ''.

    What ends before `good_until` is renewed, by default what ends within RENEW_BEFORE. A certificate
    that came from somewhere else is left alone.
    """
    from appliance.host.tls.judge import describe, issued_by

    now = now or datetime.now(UTC)
    names = server_names(config, addresses)
    authority = store.authority()
    made = ""
    if authority is None:
        authority = new_authority(f"{config.system.hostname} log forwarder CA", now)
        store.set_authority(authority)
        made = "authority made"
    server = store.server()
    if server is None:
        key = new_key()
        store.set_server(Pair(issue_server(authority, key, names, now), key))
        return f"{made or 'authority kept'}, server certificate made for {', '.join(names)}"
    if not issued_by(server.certificate, authority.certificate):
        return made
    facts = describe(server.certificate)
    if facts.not_after < (good_until or now + RENEW_BEFORE):
        reason = f"the one before ends on {facts.not_after:%Y-%m-%d}"
    elif missing := [name for name in names if name not in facts.names]:
        # Addresses come and go with DHCP: known names stay in.
        names = list(dict.fromkeys([*names, *facts.names]))[:50]
        reason = f"for {', '.join(missing)}"
    else:
        return made
    store.set_server(Pair(issue_server(authority, server.key, names, now), server.key))
    return f"server certificate renewed: {reason}"


def issue_to_sender(store: TlsStore, name: str, now: datetime | None = None) -> Pair:
    """Return a client certificate of our own authority. Raise ApplianceError when there is none."""
    from appliance.errors import ApplianceError

    authority = store.authority()
    if authority is None:
        raise ApplianceError("there is no authority yet", hint="run `appliance tls init` to make one")
    return issue_client(authority, name, now or datetime.now(UTC))
