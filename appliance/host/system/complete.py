"""What the appliance adds to a configuration so that its parts find each other. Pure.

On the machine rsyslog hands to the relay over RELP on loopback, status is asked over HTTP on
loopback, and the spool is on the data partition. Whoever writes `appliance.yaml` need not say so.
"""

import msgspec

from appliance.config.model import Config, Endpoint
from appliance.host.layout import DATA

RELP = Endpoint("127.0.0.1:2514")
HTTP = Endpoint("127.0.0.1:9081")


def complete(config: Config) -> Config:
    """Return the configuration with the machine's own answers in place of what was left open."""
    replace = msgspec.structs.replace
    listen, spool = config.relay.listen, config.relay.spool
    listen = replace(listen, relp=_relp(config), http=listen.http or HTTP)
    if not spool.path.startswith("/"):
        spool = replace(spool, path=f"{DATA}/{spool.path.removeprefix('./')}")
    return replace(config, relay=replace(config.relay, listen=listen, spool=spool))


def _relp(config: Config) -> Endpoint:
    """Return where the relay takes records from rsyslog: the next free port when a listener has the usual one."""
    if config.relay.listen.relp:
        return config.relay.listen.relp
    taken = {
        listener.port
        for listener in (getattr(config.listeners, name) for name in ("tcp", "tls", "relp", "relp_tls"))
        if listener is not None
    }
    return next(Endpoint(f"{RELP.host}:{port}") for port in range(RELP.port, 65536) if port not in taken)
