"""The part of an agent's configuration that sends here, through Loki's push API: Alloy's and Fluent Bit's. Pure.

Sources: grafana/alloy docs/sources/reference/components/loki/loki.write.md, fluent/fluent-bit-docs
pipeline/outputs/loki.md and administration/scheduling-and-retries.md (both 2026-08).
"""

from appliance.sources.forwarder import Forwarder


def alloy_write(at: Forwarder, *, token_file: str, ca_file: str) -> tuple[str, ...]:
    """Return the loki.write component `forwarder`; it retries forever, so nothing is dropped during an outage."""
    lines = [
        'loki.write "forwarder" {',
        "  endpoint {",
        f'    url                 = "{at.push_url}"',
        "    max_backoff_retries = 0 // forever; the default drops a batch after ten tries",
    ]
    if at.push_token:
        lines += [f'    bearer_token_file   = "{token_file}"']
    if at.push_tls:
        lines += ["", "    tls_config {", f'      ca_file = "{ca_file}"', "    }"]
    return (*lines, "  }", "}")


def fluent_bit_output(at: Forwarder, match: str, labels: str, *, token: str, ca_file: str) -> tuple[str, ...]:
    """Return the output of Fluent Bit's YAML pipeline; without its retry_limit a batch gets one more try only."""
    lines = [
        "    - name: loki",
        f"      match: '{match}'",
        f"      host: '{at.name if at.push_tls else at.address}'",
        f"      port: {at.push}",
        f"      labels: {labels}",
        "      retry_limit: no_limits",
        "      storage.total_limit_size: 1G",
    ]
    if at.push_token:
        lines += [f"      bearer_token: {token}"]
    if at.push_tls:
        lines += ["      tls: on", "      tls.verify: on", f"      tls.ca_file: {ca_file}"]
    return tuple(lines)
