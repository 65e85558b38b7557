"""What the appliance adds to a configuration so that its parts find each other. Pure.

On the machine rsyslog and the receiver hand over to the relay by files, status is asked over HTTP on
loopback, and the spool is on the data partition. `appliance.yaml` need not say so.
"""

import msgspec

from appliance.config.model import Config, Endpoint
from appliance.host.layout import DATA, HANDOVER

HTTP = Endpoint("127.0.0.1:9081")


def complete(config: Config) -> Config:
    """Return the configuration with the machine's own answers in place of what was left open."""
    replace = msgspec.structs.replace
    listen, spool = config.relay.listen, config.relay.spool
    listen = replace(listen, handover=HANDOVER, http=listen.http or HTTP)
    if not spool.path.startswith("/"):
        spool = replace(spool, path=f"{DATA}/{spool.path.removeprefix('./')}")
    return replace(config, relay=replace(config.relay, listen=listen, spool=spool))
